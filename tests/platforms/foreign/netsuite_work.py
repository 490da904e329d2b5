"""A day's work of the client `netsuite` against a sandbox; only the address differs from production.

Reads {"account", ..., "way": "vendor" | "hostname" | "url", "address"} from standard input, prints what it saw as JSON.
"""

import asyncio
import json
import sys

from netsuite import Config, NetSuite

given = json.load(sys.stdin)
ns = NetSuite(Config(account=given["account"], auth=given["auth"]))
if given["way"] == "hostname":
    ns.rest_api.hostname = given["address"]


def at(subpath: str) -> dict:
    """The `url` argument the client offers for calling elsewhere."""
    return {"url": f"{given['address']}/services/rest{subpath}"} if given["way"] == "url" else {}


async def get(subpath: str, **kw):
    return await ns.rest_api.get(subpath, **at(subpath), **kw)


async def refusal(work):
    try:
        await work
        return None
    except Exception as error:  # noqa: BLE001 - what a stranger's client raises is what is looked at
        text = str(error)
        return {"type": type(error).__name__, "status": getattr(error, "args", [None])[0], "text": text[:600]}


async def main() -> dict:
    api, seen = ns.rest_api, {}
    query = at("/query/v1/suiteql")
    seen["items"] = await api.suiteql("SELECT id, itemid FROM item WHERE id > 0 ORDER BY id", limit=2, **query)
    seen["second"] = await api.suiteql("SELECT id FROM item ORDER BY id", limit=2, offset=2, **query)
    seen["params"] = await api.suiteql(
        "SELECT symbol FROM currency WHERE symbol = ?", json={"params": ["EUR"]}, **query
    )

    path = "/record/v1/customer/eid:FOREIGN_1"
    body = {"companyName": "Föreign & Söhne 100%", "subsidiary": {"externalId": "DE"}, "email": "a@b.example"}
    seen["put"] = await api.put(path, json=body, **at(path))
    seen["customer"] = await get(path)
    path = f"/record/v1/customer/{seen['customer']['id']}"
    seen["patch"] = await api.patch(path, json={"phone": "+49 30 1"}, **at(path))
    seen["phone"] = (await get(path, params={"fields": "phone"}))["phone"]

    invoice = {
        "entity": {"id": seen["customer"]["id"]},
        "externalId": "FOREIGN_INV",
        "item": {
            "items": [{"item": {"externalId": "SVC-TIME"}, "quantity": 6.5, "rate": 180.0, "description": "wk 4"}]
        },
    }
    made = await api.request("POST", "/record/v1/invoice", json=invoice, **at("/record/v1/invoice"))
    seen["made"] = {"status": made.status_code, "location": made.headers["location"], "text": made.text}
    path = "/record/v1/invoice/eid:FOREIGN_INV"
    seen["invoice"] = await get(path, params={"expandSubResources": "true"})

    path = "/record/v1/customer"
    seen["listed"] = await get(path, params={"q": 'companyName IS "Föreign & Söhne 100%"', "limit": 5})
    seen["schema"] = sorted(
        (await api.jsonschema("invoice", **at("/record/v1/metadata-catalog/invoice")))["properties"]
    )
    catalog = at("/record/v1/metadata-catalog")
    seen["openapi"] = sorted((await api.openapi(["customer", "invoice"], **catalog))["components"]["schemas"])
    seen["parallel"] = len(await asyncio.gather(*(get("/record/v1/customer", params={"limit": 1}) for _ in range(4))))

    seen["unknown_field"] = await refusal(
        api.post("/record/v1/customer", json={"nope": 1}, **at("/record/v1/customer"))
    )
    seen["bad_query"] = await refusal(api.suiteql("SELECT nope FROM customer", **query))
    seen["missing"] = await refusal(get("/record/v1/customer/99999"))
    path = f"/record/v1/invoice/{seen['invoice']['id']}"
    seen["delete"] = await api.delete(path, **at(path))
    seen["gone"] = await refusal(get(path))
    if given["way"] == "vendor":
        seen["token_info"] = await api.token_info()
    stranger = NetSuite(Config(account=given["account"], auth={**given["auth"], "token_secret": "0" * 64}))
    if given["way"] == "hostname":
        stranger.rest_api.hostname = given["address"]
    seen["stranger"] = await refusal(stranger.rest_api.suiteql("SELECT id FROM item", **query))
    return seen


print(json.dumps(asyncio.run(main())))
