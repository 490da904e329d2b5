// A day's work of jsforce against a sandbox; only the address differs from production.
// Reads {"url", "client_id", ...} from standard input and prints what it saw as JSON.
import { readFileSync } from "node:fs";
import jsforce from "jsforce";

const given = JSON.parse(readFileSync(0, "utf8"));
const seen = {};

async function refusal(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return { name: error.name, errorCode: error.errorCode, message: error.message };
  }
}

// log-ins: SOAP (user, password + token), OAuth password, OAuth client credentials, a token at hand
const soap = new jsforce.Connection({ loginUrl: given.url });
const who = await soap.login(given.username, given.password + given.security_token);
seen.soap = { user: who.id, org: who.organizationId, instance: soap.instanceUrl };
seen.soap_wrong = await refusal(() => new jsforce.Connection({ loginUrl: given.url }).login(given.username, "no"));

const oauth2 = { loginUrl: given.url, clientId: given.client_id, clientSecret: given.client_secret, redirectUri: "http://localhost" };
const password = new jsforce.Connection({ oauth2 });
await password.login(given.username, given.password + given.security_token);
seen.password = (await password.identity()).username;

const credentials = new jsforce.Connection({ loginUrl: given.url, oauth2 });
await credentials.authorize({ grant_type: "client_credentials" });
seen.client_credentials = (await credentials.query("SELECT Id FROM Account LIMIT 1")).totalSize;

const refreshed = new jsforce.Connection({ oauth2, instanceUrl: given.url, accessToken: "00Dx!stale", refreshToken: given.refresh_token });
seen.refreshed = (await refreshed.query("SELECT Id FROM Account LIMIT 1")).totalSize;

const conn = new jsforce.Connection({ instanceUrl: given.url, accessToken: credentials.accessToken, version: "60.0" });

// queries
const first = await conn.query("SELECT Id, LastName FROM Contact");
let records = first.records;
let page = first;
while (!page.done) {
  page = await conn.queryMore(page.nextRecordsUrl);
  records = records.concat(page.records);
}
seen.paging = { total: first.totalSize, first: first.records.length, read: records.length, ids: new Set(records.map((r) => r.Id)).size };
const fetched = [];
await new Promise((resolve, reject) => {
  conn.query("SELECT Id FROM Contact").on("record", (r) => fetched.push(r)).on("end", resolve).on("error", reject).run({ autoFetch: true, maxFetch: 10000 });
});
seen.autofetch = fetched.length;
seen.find = (await conn.sobject("Contact").find({ LastName: { $like: "L00%" } }, "Id, LastName").sort({ LastName: 1 }).limit(5)).length;
seen.aggregate = (await conn.query("SELECT COUNT(Id) c FROM Contact")).records[0].c;

// one record and many
const account = conn.sobject("Account");
const made = await account.create({ Name: "Jay Ltd" });
seen.create = made;
seen.update = await account.update({ Id: made.id, Industry: "Banking" });
seen.read = (await account.retrieve(made.id)).Industry;
seen.upsert = [await account.upsert({ Name: "Keyed", Ext_Key__c: "J-1" }, "Ext_Key__c"), await account.upsert({ Name: "Again", Ext_Key__c: "J-1" }, "Ext_Key__c")];
const many = await account.create([{ Name: "m1" }, { Industry: "Banking" }, { Name: "m3" }]);
seen.many = many.map((one) => [one.success, one.errors]);
seen.many_retrieved = (await account.retrieve([many[0].id, many[2].id])).map((one) => one.Name);
seen.many_updated = (await account.update([{ Id: many[0].id, Name: "M1" }, { Id: many[2].id, Name: "M3" }])).map((one) => one.success);
seen.many_deleted = (await account.destroy([many[0].id, many[2].id])).map((one) => one.success);
seen.destroyed = await account.destroy(made.id);
seen.gone = await refusal(() => account.retrieve(made.id));
seen.no_field = await refusal(() => conn.query("SELECT Nope FROM Account"));
seen.required = await refusal(() => account.create({ Industry: "Banking" }));

// describe, limits, identity
const described = await account.describe();
seen.describe = { name: described.name, fields: described.fields.length, children: described.childRelationships.length };
seen.objects = (await conn.describeGlobal()).sobjects.length;
seen.limits = (await conn.limits()).DailyApiRequests.Max;
seen.usage = conn.limitInfo.apiUsage.limit;

// Bulk API v1
conn.bulk.pollInterval = 50;
conn.bulk.pollTimeout = 20000;
const loaded = await conn.bulk.load("Account", "upsert", { extIdField: "Ext_Key__c" }, [
  { Name: "B1", Ext_Key__c: "JB-1", Payment_Terms__c: "Net 30" }, { Name: "B2", Ext_Key__c: "JB-2", Payment_Terms__c: "Net 30" }, { Name: "Bad", Ext_Key__c: "JB-3", Payment_Terms__c: "Net 31" },
]);
seen.bulk1_load = loaded.map((one) => [one.success, one.errors]);
const bulk1 = await conn.bulk.query("SELECT Id, Name FROM Account WHERE Ext_Key__c LIKE 'JB-%' ORDER BY Name");
seen.bulk1_query = (await bulk1.toArray()).map((one) => one.Name);

// Bulk API 2.0
conn.bulk2.pollInterval = 50;
conn.bulk2.pollTimeout = 20000;
const outcome = await conn.bulk2.loadAndWaitForResults({
  object: "Account", operation: "insert", input: [{ Name: "W1", Payment_Terms__c: "Net 30" }, { Name: "W2", Payment_Terms__c: "Net 31" }],
});
seen.bulk2_load = { ok: outcome.successfulResults.length, failed: outcome.failedResults.map((one) => one.sf__Error), left: outcome.unprocessedRecords.length };
const stream = await conn.bulk2.query("SELECT Id, LastName FROM Contact");
seen.bulk2_query = (await stream.toArray()).length;

process.stdout.write(JSON.stringify(seen));
