"""The standard objects of the sandbox's org, and the custom fields that Tieout asks an administrator to create.

Field names, types and lengths follow the vendor's object reference for API v67.0; only fields that integrations of
a services firm meet are listed.
"""

from __future__ import annotations

from platforms.salesforce.sandbox.schema import (
    FieldDef,
    ObjectDef,
    PicklistValue,
    address,
    checkbox,
    currency,
    date,
    datetime,
    define,
    email,
    integer,
    long_text,
    lookup,
    number,
    org_only,
    percent,
    phone,
    picklist,
    text,
    url,
)

CURRENCIES = ("USD", "GBP", "EUR")

# label, is closed, is won, forecast category, default probability: the out-of-box sales process of a new org.
STAGES: tuple[tuple[str, bool, bool, str, int], ...] = (
    ("Prospecting", False, False, "Pipeline", 10),
    ("Qualification", False, False, "Pipeline", 10),
    ("Needs Analysis", False, False, "Pipeline", 20),
    ("Value Proposition", False, False, "Pipeline", 50),
    ("Id. Decision Makers", False, False, "Pipeline", 60),
    ("Perception Analysis", False, False, "Pipeline", 70),
    ("Proposal/Price Quote", False, False, "Best Case", 75),
    ("Negotiation/Review", False, False, "Commit", 90),
    ("Closed Won", True, True, "Closed", 100),
    ("Closed Lost", True, False, "Omitted", 0),
)
FORECAST_CODES = {
    "Pipeline": "Pipeline",
    "Best Case": "BestCase",
    "Most Likely": "MostLikely",
    "Commit": "Forecast",
    "Closed": "Closed",
    "Omitted": "Omitted",
}
INDUSTRIES = (
    "Agriculture", "Banking", "Biotechnology", "Chemicals", "Construction", "Consulting", "Education", "Electronics",
    "Energy", "Engineering", "Finance", "Government", "Healthcare", "Hospitality", "Insurance", "Machinery",
    "Manufacturing", "Media", "Not For Profit", "Retail", "Shipping", "Technology", "Telecommunications",
    "Transportation", "Utilities", "Other",
)  # fmt: skip
LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")


# The countries that the org's State and Country picklists offer.
COUNTRIES = {
    "AE": "United Arab Emirates", "AR": "Argentina", "AT": "Austria", "AU": "Australia", "BE": "Belgium",
    "BG": "Bulgaria", "BR": "Brazil", "CA": "Canada", "CH": "Switzerland", "CL": "Chile", "CN": "China",
    "CO": "Colombia", "CY": "Cyprus", "CZ": "Czech Republic", "DE": "Germany", "DK": "Denmark", "EE": "Estonia",
    "EG": "Egypt", "ES": "Spain", "FI": "Finland", "FR": "France", "GB": "United Kingdom", "GR": "Greece",
    "HK": "Hong Kong", "HR": "Croatia", "HU": "Hungary", "ID": "Indonesia", "IE": "Ireland", "IL": "Israel",
    "IN": "India", "IS": "Iceland", "IT": "Italy", "JP": "Japan", "KE": "Kenya", "KR": "Korea, Republic of",
    "LT": "Lithuania", "LU": "Luxembourg", "LV": "Latvia", "MA": "Morocco", "MT": "Malta", "MX": "Mexico",
    "MY": "Malaysia", "NG": "Nigeria", "NL": "Netherlands", "NO": "Norway", "NZ": "New Zealand", "PE": "Peru",
    "PH": "Philippines", "PL": "Poland", "PT": "Portugal", "RO": "Romania", "RS": "Serbia", "SA": "Saudi Arabia",
    "SE": "Sweden", "SG": "Singapore", "SI": "Slovenia", "SK": "Slovakia", "TH": "Thailand", "TR": "Turkey",
    "TW": "Taiwan", "UA": "Ukraine", "US": "United States", "UY": "Uruguay", "VN": "Vietnam", "ZA": "South Africa",
}  # fmt: skip


def _address_fields(prefix: str) -> list[FieldDef]:
    compound = f"{prefix}Address"
    return [
        long_text(f"{prefix}Street", 255, compound=compound),
        text(f"{prefix}City", 40, compound=compound),
        text(f"{prefix}State", 80, compound=compound),
        text(f"{prefix}PostalCode", 20, compound=compound),
        text(f"{prefix}Country", 80, compound=compound),
        picklist(
            f"{prefix}CountryCode",
            [PicklistValue(value=code, label=name) for code, name in COUNTRIES.items()],
            label=f"{prefix} Country Code".strip(),
            length=10,
            compound=compound,
        ),
        address(compound, prefix),
    ]


def standard_objects() -> tuple[ObjectDef, ...]:
    """Every standard object of the sandbox, parents before children."""
    return (
        define(
            "Organization", "00D", "Organization", "Organizations",
            [
                text("Name", 80, name_field=True), text("Division", 80), *_address_fields(""), phone("Phone"),
                picklist("DefaultLocaleSidKey", length=40), picklist("LanguageLocaleKey", length=40),
                picklist("TimeZoneSidKey", length=40), picklist("OrganizationType", length=40),
                checkbox("IsSandbox"), text("InstanceName", 5), text("NamespacePrefix", 15),
                integer("FiscalYearStartMonth"), checkbox("UsesStartDateAsFiscalYearName"),
                datetime("TrialExpirationDate"),
            ],
            is_deleted=False, createable=False, deletable=False, replicateable=False,
        ),
        define(
            "User", "005", "User", "Users",
            [
                text("Username", 80, required=True, unique=True, id_lookup=True), text("LastName", 80, required=True),
                text("FirstName", 40), org_only(text("Name", 121, name_field=True)), text("CompanyName", 80),
                text("Division", 80), text("Department", 80), text("Title", 80),
                email("Email", 128, required=True, id_lookup=True), text("Alias", 8, required=True),
                phone("Phone"), phone("MobilePhone"), checkbox("IsActive", default=True),
                picklist("TimeZoneSidKey", default="Europe/London", length=40),
                picklist("LocaleSidKey", default="en_GB", length=40),
                picklist("LanguageLocaleKey", default="en_US", length=40),
                picklist("EmailEncodingKey", default="UTF-8", length=40),
                picklist("UserType", ("Standard", "PowerPartner", "Guest", "AutomatedProcess"), default="Standard"),
                lookup("ManagerId", "User", "Managers"), text("EmployeeNumber", 20), text("FederationIdentifier", 512),
                picklist("DefaultCurrencyIsoCode", length=3), org_only(datetime("LastLoginDate")),
            ],
            multi_currency=True, is_deleted=False, deletable=False,
        ),
        define(
            "CurrencyType", "01L", "Currency Type", "Currency Types",
            [
                picklist("IsoCode", length=3, required=True), number("ConversionRate", 18, 6, required=True),
                integer("DecimalPlaces", required=True), checkbox("IsActive", default=True), checkbox("IsCorporate"),
            ],
            is_deleted=False, deletable=False,
        ),
        define(
            "OpportunityStage", "01J", "Opportunity Stage", "Opportunity Stages",
            [
                text("MasterLabel", name_field=True, required=True), text("ApiName", required=True),
                checkbox("IsActive", default=True), integer("SortOrder", required=True), checkbox("IsClosed"),
                checkbox("IsWon"), picklist("ForecastCategory", tuple(FORECAST_CODES.values())),
                picklist("ForecastCategoryName", tuple(FORECAST_CODES)), percent("DefaultProbability", 3, 0),
                text("Description"),
            ],
            is_deleted=False, createable=False, updateable=False, deletable=False,
        ),
        define(
            "Account", "001", "Account", "Accounts",
            [
                org_only(lookup("MasterRecordId", "Account", relationship="MasterRecord")),
                text("Name", required=True, nillable=False, name_field=True),
                picklist("Type", ("Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller",
                                  "Installation Partner", "Technology Partner", "Other")),
                lookup("ParentId", "Account", "ChildAccounts"),
                *_address_fields("Billing"), *_address_fields("Shipping"),
                phone("Phone"), phone("Fax"), text("AccountNumber", 40), url("Website"), text("Sic", 20),
                picklist("Industry", INDUSTRIES), currency("AnnualRevenue", 18, 0), integer("NumberOfEmployees"),
                picklist("Ownership", ("Public", "Private", "Subsidiary", "Other")), text("TickerSymbol", 20),
                long_text("Description"), picklist("Rating", ("Hot", "Warm", "Cold")), text("Site", 80),
                picklist("AccountSource", LEAD_SOURCES), org_only(date("LastActivityDate")),
            ],
            owner=True, multi_currency=True, mergeable=True,
        ),
        define(
            "Contact", "003", "Contact", "Contacts",
            [
                org_only(lookup("MasterRecordId", "Contact", relationship="MasterRecord")),
                lookup("AccountId", "Account", "Contacts", cascade_delete=True),
                text("LastName", 80, required=True, nillable=False), text("FirstName", 40),
                picklist("Salutation", ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx."), length=40),
                org_only(text("Name", 121, name_field=True)), *_address_fields("Mailing"),
                phone("Phone"), phone("Fax"), phone("MobilePhone"), lookup("ReportsToId", "Contact"),
                email("Email", id_lookup=True), text("Title", 128), text("Department", 80),
                picklist("LeadSource", LEAD_SOURCES), date("Birthdate"), long_text("Description"),
            ],
            owner=True, multi_currency=True, mergeable=True,
        ),
        define(
            "Pricebook2", "01s", "Price Book", "Price Books",
            [
                text("Name", required=True, name_field=True), checkbox("IsActive"), org_only(checkbox("IsStandard")),
                text("Description"), org_only(checkbox("IsArchived")),
            ],
        ),
        define(
            "Product2", "01t", "Product", "Products",
            [
                text("Name", required=True, name_field=True), text("ProductCode"), long_text("Description", 4000),
                checkbox("IsActive"), picklist("Family", ("None", "Services", "Software", "Expenses")),
                text("ExternalId"), picklist("QuantityUnitOfMeasure", ("Hour", "Day", "Each", "Month")),
                text("StockKeepingUnit", 180), url("DisplayUrl"), org_only(checkbox("IsArchived")),
            ],
            multi_currency=True,
        ),
        define(
            "PricebookEntry", "01u", "Price Book Entry", "Price Book Entries",
            [
                org_only(text("Name", name_field=True)),
                lookup("Pricebook2Id", "Pricebook2", "PricebookEntries", required=True, updateable=False),
                lookup("Product2Id", "Product2", "PricebookEntries", required=True, updateable=False),
                currency("UnitPrice", required=True), checkbox("IsActive"), checkbox("UseStandardPrice"),
                org_only(text("ProductCode")), org_only(checkbox("IsArchived")),
            ],
            multi_currency=True,
        ),
        define(
            "Opportunity", "006", "Opportunity", "Opportunities",
            [
                lookup("AccountId", "Account", "Opportunities", cascade_delete=True),
                text("Name", 120, required=True, nillable=False, name_field=True), long_text("Description"),
                picklist("StageName", [s[0] for s in STAGES], required=True, nillable=False),
                currency("Amount"), percent("Probability", 3, 0), org_only(currency("ExpectedRevenue")),
                org_only(number("TotalOpportunityQuantity", 18, 2)), date("CloseDate", required=True, nillable=False),
                picklist("Type", ("Existing Customer - Upgrade", "Existing Customer - Replacement",
                                  "Existing Customer - Downgrade", "New Customer")),
                text("NextStep"), picklist("LeadSource", LEAD_SOURCES), org_only(checkbox("IsClosed")),
                org_only(checkbox("IsWon")), org_only(picklist("ForecastCategory", tuple(FORECAST_CODES.values()))),
                picklist("ForecastCategoryName", tuple(FORECAST_CODES), restricted=True),
                org_only(checkbox("HasOpportunityLineItem")), lookup("Pricebook2Id", "Pricebook2"),
                org_only(datetime("LastStageChangeDate")), org_only(integer("FiscalQuarter")),
                org_only(integer("FiscalYear")), org_only(text("Fiscal", 6)),
                lookup("ContactId", "Contact", updateable=False),
                org_only(text("SyncedQuoteId", 18)), org_only(date("LastActivityDate")),
            ],
            owner=True, multi_currency=True,
        ),
        define(
            "OpportunityLineItem", "00k", "Opportunity Product", "Opportunity Products",
            [
                lookup("OpportunityId", "Opportunity", "OpportunityLineItems", required=True, updateable=False,
                       cascade_delete=True),
                integer("SortOrder"),
                lookup("PricebookEntryId", "PricebookEntry", "OpportunityLineItems", updateable=False),
                lookup("Product2Id", "Product2", "OpportunityLineItems", updateable=False),
                org_only(text("ProductCode")), org_only(text("Name", 376, name_field=True)),
                number("Quantity", 12, 2, required=True), percent("Discount"), currency("TotalPrice"),
                currency("UnitPrice"), org_only(currency("ListPrice")), org_only(currency("Subtotal")),
                date("ServiceDate"), text("Description"),
            ],
            multi_currency=True,
        ),
        define(
            "OpportunityContactRole", "00K", "Opportunity Contact Role", "Opportunity Contact Roles",
            [
                lookup("OpportunityId", "Opportunity", "OpportunityContactRoles", required=True, updateable=False,
                       cascade_delete=True),
                lookup("ContactId", "Contact", "OpportunityContactRoles", required=True, cascade_delete=True),
                picklist("Role", ("Business User", "Decision Maker", "Economic Buyer", "Economic Decision Maker",
                                  "Evaluator", "Executive Sponsor", "Influencer", "Technical Buyer", "Other")),
                checkbox("IsPrimary"),
            ],
            multi_currency=True,
        ),
    )  # fmt: skip


def tieout_fields() -> dict[str, tuple[FieldDef, ...]]:
    """The custom fields of Tieout's set-up guide, by object."""
    figures = tuple(
        currency(f"Tieout_{name}__c", label=f"{name} (Tieout)", help="Written by Tieout from the ledger.")
        for name in ("Invoiced", "Paid", "Open", "Overdue")
    )
    return {
        "Account": (
            text("VAT_Number__c", 40, label="VAT Number"),
            text("Legal_Name__c", 255, label="Legal Name"),
            picklist("Payment_Terms__c", ("Net 15", "Net 30", "Net 45", "Net 60"), restricted=True,
                     label="Payment Terms"),
            checkbox("PO_Required__c", label="PO Required"),
            email("Billing_Email__c", label="Billing Email"),
            *figures,
            text("Tieout_Other_Currencies__c", 255, label="Other Currencies (Tieout)"),
        ),
        "Opportunity": (
            picklist("Billing_Type__c", ("Time and Materials", "Fixed Fee", "Milestone", "Retainer"), restricted=True,
                     label="Billing Type"),
            date("Contract_Start__c", label="Contract Start"),
            date("Contract_End__c", label="Contract End"),
            picklist("Legal_Entity__c", ("US", "UK", "DE"), restricted=True, label="Legal Entity"),
            text("PO_Number__c", 80, label="PO Number"),
            email("Delivery_Lead_Email__c", label="Delivery Lead Email"),
            text("Tieout_Project_Id__c", 40, label="Project Id (Tieout)"),
            url("Tieout_Project_Link__c", label="Project Link (Tieout)"),
            text("Tieout_Project_Status__c", 80, label="Project Status (Tieout)"),
            text("Tieout_Sync_Status__c", 40, label="Sync Status (Tieout)"),
            text("Tieout_Sync_Reason__c", 255, label="Sync Reason (Tieout)"),
            *figures,
            date("Tieout_Last_Payment_Date__c", label="Last Payment Date (Tieout)"),
            percent("Tieout_Percent_Complete__c", label="Percent Complete (Tieout)"),
        ),
        "OpportunityLineItem": (
            text("Role__c", 80, label="Role"),
            number("Hours__c", 12, 2, label="Hours"),
        ),
    }  # fmt: skip


def org_objects() -> tuple[ObjectDef, ...]:
    """The objects of a fresh sandbox org: standard ones with Tieout's custom fields and the org's currencies."""
    custom = tieout_fields()
    currencies = tuple(PicklistValue(value=code, label=code, default=code == "USD") for code in CURRENCIES)
    made = []
    for definition in standard_objects():
        for added in custom.get(definition.name, ()):
            definition = definition.with_field(added)
        code = definition.by_name.get("CurrencyIsoCode")
        if code is not None:
            definition = definition.with_field(
                FieldDef(
                    name=code.name, type=code.type, label=code.label, length=3, restricted=True, picklist=currencies
                )
            )
        made.append(definition)
    return tuple(made)
