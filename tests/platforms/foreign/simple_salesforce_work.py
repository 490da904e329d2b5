"""A day's work of simple-salesforce against a sandbox; only the address differs from production.

Reads {"instance", "session_id", "stale_session_id"} from standard input and prints what it saw as JSON.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime

from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError

given = json.load(sys.stdin)
sf = Salesforce(instance=given["instance"], session_id=given["session_id"])
seen = {}


def refusal(work):
    try:
        work()
    except SalesforceError as error:
        return {"kind": type(error).__name__, "status": error.status, "content": error.content}
    return None


# queries
first = len(sf.query("SELECT Id, Name FROM Contact ORDER BY Name")["records"])
everything = sf.query_all("SELECT Id, LastName, Account.Name FROM Contact ORDER BY LastName")
seen["paging"] = {
    "first": first,
    "all": everything["totalSize"],
    "read": len(everything["records"]),
    "ids": len({one["Id"] for one in everything["records"]}),
    "parent": everything["records"][0]["Account"]["Name"],
}
seen["iterated"] = sum(1 for _ in sf.query_all_iter("SELECT Id FROM Contact", include_deleted=True))

# one record
made = sf.Account.create({"Name": "Foreign Ltd", "BillingCountryCode": "GB"})
account = made["id"]
seen["create"] = made
seen["update"] = sf.Account.update(account, {"Industry": "Banking"})
seen["read"] = {k: sf.Account.get(account)[k] for k in ("Name", "Industry", "BillingCountry")}
seen["upsert_new"] = sf.Account.upsert("Ext_Key__c/K-1", {"Name": "Keyed"})
seen["upsert_again"] = sf.Account.upsert("Ext_Key__c/K-1", {"Name": "Keyed twice"})
seen["by_key"] = sf.Account.get_by_custom_id("Ext_Key__c", "K-1")["Name"]
seen["deleted_status"] = sf.Account.delete(account)
seen["gone"] = refusal(lambda: sf.Account.get(account))
start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC)
seen["updated"] = len(sf.Account.updated(start, end)["ids"])
seen["deleted"] = [one["id"] == account for one in sf.Account.deleted(start, end)["deletedRecords"]]
seen["too_wide"] = refusal(lambda: sf.Account.deleted(datetime(2020, 1, 1, tzinfo=UTC), end))

# refusals
seen["no_field"] = refusal(lambda: sf.query("SELECT Nope FROM Account"))
seen["required"] = refusal(lambda: sf.Account.create({"Industry": "Banking"}))
seen["picklist"] = refusal(lambda: sf.Account.create({"Name": "x", "Payment_Terms__c": "Net 31"}))
seen["expired"] = refusal(
    lambda: Salesforce(instance=given["instance"], session_id="00Dx!no").query("SELECT Id FROM Account")
)

# describe
described = sf.Account.describe()
seen["describe"] = {
    "fields": len(described["fields"]),
    "keys": sorted(described["fields"][0]),
    "objects": [one["name"] for one in sf.describe()["sobjects"]],
}
seen["search"] = len(sf.quick_search("Keyed")["searchRecords"])
seen["limits"] = sf.limits()["DailyApiRequests"]["Max"]
seen["usage"] = sf.api_usage["api-usage"].total

# composite, through the generic door
answer = sf.restful(
    "composite/sobjects",
    method="POST",
    json={
        "allOrNone": False,
        "records": [{"attributes": {"type": "Account"}, "Name": "c1"}, {"attributes": {"type": "Account"}}],
    },
)
seen["collection"] = [one["success"] for one in answer]

# Bulk API v1
seen["bulk1_insert"] = sf.bulk.Account.insert(
    [{"Name": f"B{i}", "Ext_Key__c": f"B-{i}"} for i in range(300)] + [{"Name": ""}], batch_size=200
)
seen["bulk1_upsert"] = sf.bulk.Account.upsert([{"Name": "B0 again", "Ext_Key__c": "B-0"}], "Ext_Key__c", batch_size=200)
rows = sf.bulk.Account.query("SELECT Id, Name, CreatedDate FROM Account WHERE Name LIKE 'B%' ORDER BY Name")
seen["bulk1_query"] = {"rows": len(rows), "first": rows[0]["Name"], "created": rows[0]["CreatedDate"]}

# Bulk API 2.0
with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as out:
    out.write(
        "Name,Ext_Key__c,Payment_Terms__c\n" + "".join(f"V{i},V-{i},Net 30\n" for i in range(500)) + "Bad,V-x,Net 31\n"
    )
job = sf.bulk2.Account.upsert(out.name, external_id_field="Ext_Key__c", wait=1)[0]
seen["bulk2_upsert"] = {k: job[k] for k in ("numberRecordsProcessed", "numberRecordsFailed", "numberRecordsTotal")}
seen["bulk2_failed"] = sf.bulk2.Account.get_failed_records(job["job_id"])
seen["bulk2_successful"] = len(sf.bulk2.Account.get_successful_records(job["job_id"]).splitlines())
seen["bulk2_unprocessed"] = sf.bulk2.Account.get_unprocessed_records(job["job_id"])
pages = list(sf.bulk2.Account.query("SELECT Id, Name FROM Account WHERE Name LIKE 'V%'", max_records=200, wait=1))
seen["bulk2_query"] = [len(page.splitlines()) - 1 for page in pages]

json.dump(seen, sys.stdout)
