"""Every way simple-salesforce logs in, unchanged; its fixed host names lead to the sandbox through a CONNECT proxy.

Reads JSON settings from standard input and prints what it saw as JSON.
"""

import json
import sys

from simple_salesforce import Salesforce, SalesforceAuthenticationFailed

given = json.load(sys.stdin)
COUNT = "SELECT COUNT() FROM Account"


def try_login(**how):
    try:
        session = Salesforce(**how)
        return {"count": session.query(COUNT)["totalSize"], "host": session.sf_instance}
    except SalesforceAuthenticationFailed as error:
        return {"code": error.code, "text": str(error)}


seen = {
    "soap": try_login(
        username=given["username"], password=given["password"], security_token=given["security_token"], domain="login"
    ),
    "soap_wrong": try_login(username=given["username"], password="no", security_token="no", domain="login"),
    "soap_too_new": try_login(
        username=given["username"],
        password=given["password"],
        security_token=given["security_token"],
        domain="login",
        version="65.0",
    ),
    "password": try_login(
        username=given["username"],
        password=given["password"],
        consumer_key=given["client_id"],
        consumer_secret=given["client_secret"],
        domain="test",
    ),
    "jwt": try_login(
        username=given["username"], consumer_key=given["client_id"], privatekey=given["private_key"], domain="test"
    ),
    "client_credentials": try_login(
        consumer_key=given["client_id"], consumer_secret=given["client_secret"], domain="northwind.my"
    ),
    "client_credentials_wrong": try_login(
        consumer_key=given["client_id"], consumer_secret="wrong", domain="northwind.my"
    ),
}
json.dump(seen, sys.stdout)
