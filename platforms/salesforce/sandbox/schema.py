"""What an object and a field of an org are: data, from which tables, describe answers and checks are made.

An object is an `ObjectDef` with its `FieldDef`s. Standard objects stand in `standard.py`; whatever a package or an
administrator adds is more of the same data, kept in the sandbox's own store, so an org can gain and lose fields
while it runs (`SalesforceService.add_object`, `add_field`, `alter_field`, `remove_field`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from platforms.salesforce.sandbox.ids import BASE62

TEXT_TYPES = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "combobox", "phone", "email", "url", "encryptedstring"}
)
NUMBER_TYPES = frozenset({"double", "currency", "percent"})
SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "address": "urn:address",
    "base64": "xsd:base64Binary",
}


@dataclass(frozen=True, kw_only=True)
class PicklistValue:
    """One value of a picklist; `active=False` keeps it readable on old records but refuses it on new ones."""

    value: str
    label: str = ""
    active: bool = True
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class FieldDef:
    """One field. `length` counts characters, `precision`/`scale` digits; `parts` names the columns of a compound field.

    `required` means: must be given on create. `computed` fields are written by the org only.
    `default` is the value a record gets when none is given.
    """

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    computed: bool = False
    calculated_formula: str | None = None
    default: Any = None
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    child_relationship: str | None = None
    cascade_delete: bool = False
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    id_lookup: bool = False
    name_field: bool = False
    auto_number: str | None = None
    picklist: tuple[PicklistValue, ...] = ()
    restricted: bool = False
    compound: str | None = None
    parts: tuple[tuple[str, str], ...] = ()
    help: str | None = None

    @property
    def custom(self) -> bool:
        """Whether an administrator or a package made it."""
        return self.name.endswith("__c")

    @property
    def stored(self) -> bool:
        """Whether the field has a column of its own (a compound field has not)."""
        return self.type not in ("address",)

    @property
    def is_text(self) -> bool:
        """Whether values are strings without further structure."""
        return self.type in TEXT_TYPES


@dataclass(frozen=True, kw_only=True)
class ObjectDef:
    """One object with its fields, in describe order."""

    name: str
    prefix: str
    label: str
    plural: str
    fields: tuple[FieldDef, ...]
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    replicateable: bool = True
    mergeable: bool = False
    has_is_deleted: bool = True
    bulk: bool = True
    by_name: dict[str, FieldDef] = field(init=False, repr=False, compare=False)
    by_lower: dict[str, FieldDef] = field(init=False, repr=False, compare=False)
    by_relationship: dict[str, FieldDef] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})
        object.__setattr__(self, "by_lower", {f.name.lower(): f for f in self.fields})
        object.__setattr__(self, "by_relationship", {f.relationship.lower(): f for f in self.fields if f.relationship})

    @property
    def custom(self) -> bool:
        """Whether it is a custom object."""
        return self.name.endswith("__c")

    @property
    def stored_fields(self) -> tuple[FieldDef, ...]:
        """The fields that are columns."""
        return tuple(f for f in self.fields if f.stored)

    def with_field(self, added: FieldDef) -> ObjectDef:
        """The same object with one field more (or one replaced)."""
        kept = tuple(added if f.name == added.name else f for f in self.fields)
        return replace(self, fields=kept if added.name in self.by_name else (*kept, added))

    def without_field(self, name: str) -> ObjectDef:
        """The same object with one field less."""
        return replace(self, fields=tuple(f for f in self.fields if f.name != name))


# --- short words for field definitions ---------------------------------------------------------------------


def text(name: str, length: int = 255, **more: Any) -> FieldDef:
    """A single-line text field."""
    return FieldDef(name=name, type="string", length=length, **more)


def long_text(name: str, length: int = 32000, **more: Any) -> FieldDef:
    """A multi-line text field."""
    return FieldDef(name=name, type="textarea", length=length, **more)


def email(name: str, length: int = 80, **more: Any) -> FieldDef:
    """An e-mail address."""
    return FieldDef(name=name, type="email", length=length, **more)


def phone(name: str, **more: Any) -> FieldDef:
    """A telephone number."""
    return FieldDef(name=name, type="phone", length=40, **more)


def url(name: str, **more: Any) -> FieldDef:
    """A web address."""
    return FieldDef(name=name, type="url", length=255, **more)


def picklist(
    name: str, values: Iterable[str | PicklistValue] = (), *, default: str | None = None, **more: Any
) -> FieldDef:
    """A choice of one. `restricted=True` refuses values that are not listed, as custom picklists do."""
    listed = tuple(
        v if isinstance(v, PicklistValue) else PicklistValue(value=v, label=v, default=v == default) for v in values
    )
    return FieldDef(
        name=name, type="picklist", length=more.pop("length", 255), picklist=listed, default=default, **more
    )


def checkbox(name: str, *, default: bool = False, **more: Any) -> FieldDef:
    """A boolean, never null."""
    return FieldDef(name=name, type="boolean", default=default, nillable=False, **more)


def currency(name: str, precision: int = 18, scale: int = 2, **more: Any) -> FieldDef:
    """Money in the record's CurrencyIsoCode."""
    return FieldDef(name=name, type="currency", precision=precision, scale=scale, **more)


def number(name: str, precision: int = 18, scale: int = 2, **more: Any) -> FieldDef:
    """A decimal number."""
    return FieldDef(name=name, type="double", precision=precision, scale=scale, **more)


def percent(name: str, precision: int = 5, scale: int = 2, **more: Any) -> FieldDef:
    """A percentage: 60 means sixty per cent."""
    return FieldDef(name=name, type="percent", precision=precision, scale=scale, **more)


def integer(name: str, **more: Any) -> FieldDef:
    """A whole number."""
    return FieldDef(name=name, type="int", precision=9, **more)


def date(name: str, **more: Any) -> FieldDef:
    """A calendar day."""
    return FieldDef(name=name, type="date", **more)


def datetime(name: str, **more: Any) -> FieldDef:
    """An instant in UTC."""
    return FieldDef(name=name, type="datetime", **more)


def lookup(name: str, to: str, children: str | None = None, **more: Any) -> FieldDef:
    """A reference to another object; `children` is the relationship name on the parent's side.

    The parent path is the field's name without `Id`, or `X__r` for `X__c`, unless `relationship` is given.
    """
    relationship = more.pop("relationship", None)
    if relationship is None:
        relationship = name[:-3] + "__r" if name.endswith("__c") else name.removesuffix("Id")
    return FieldDef(
        name=name,
        type="reference",
        length=18,
        reference_to=(to,),
        relationship=relationship,
        child_relationship=children,
        **more,
    )


def address(name: str, prefix: str) -> FieldDef:
    """A compound, read-only address over the columns `<prefix>Street`, `<prefix>City` and so on."""
    parts = (
        ("city", f"{prefix}City"),
        ("country", f"{prefix}Country"),
        ("countryCode", f"{prefix}CountryCode"),
        ("postalCode", f"{prefix}PostalCode"),
        ("state", f"{prefix}State"),
        ("street", f"{prefix}Street"),
    )
    return FieldDef(name=name, type="address", computed=True, createable=False, updateable=False, parts=parts)


def org_only(definition: FieldDef) -> FieldDef:
    """The same field, written by the org and by nobody else."""
    return replace(definition, computed=True, createable=False, updateable=False)


def formula(definition: FieldDef, text_of_formula: str) -> FieldDef:
    """The same field as a read-only formula."""
    return replace(org_only(definition), calculated_formula=text_of_formula)


def system_fields(*, deletable: bool = True) -> tuple[FieldDef, ...]:
    """Fields that nearly every object has, before its own."""
    head: tuple[FieldDef, ...] = (
        FieldDef(
            name="Id", type="id", label="Record ID", length=18, nillable=False, createable=False, updateable=False
        ),
    )
    if deletable:
        head += (org_only(checkbox("IsDeleted", label="Deleted")),)
    return head


def audit_fields() -> tuple[FieldDef, ...]:
    """Who and when, written by the org."""
    user: dict[str, Any] = {"nillable": False}
    return (
        org_only(datetime("CreatedDate", label="Created Date", **user)),
        org_only(lookup("CreatedById", "User", label="Created By ID", **user)),
        org_only(datetime("LastModifiedDate", label="Last Modified Date", **user)),
        org_only(lookup("LastModifiedById", "User", label="Last Modified By ID", **user)),
        org_only(datetime("SystemModstamp", label="System Modstamp", **user)),
    )


def define(
    name: str,
    prefix: str,
    label: str,
    plural: str,
    fields: Iterable[FieldDef],
    *,
    owner: bool = False,
    multi_currency: bool = False,
    is_deleted: bool = True,
    **more: Any,
) -> ObjectDef:
    """An object with its own `fields` between the system fields and the audit fields."""
    own: list[FieldDef] = [*system_fields(deletable=is_deleted), *fields]
    if multi_currency:
        own.append(
            FieldDef(
                name="CurrencyIsoCode",
                type="picklist",
                label="Currency ISO Code",
                length=3,
                restricted=True,
                nillable=True,
                picklist=(),
            )
        )
    if owner:
        own.append(lookup("OwnerId", "User", label="Owner ID", nillable=False))
    own.extend(audit_fields())
    return ObjectDef(
        name=name, prefix=prefix, label=label, plural=plural, fields=tuple(own), has_is_deleted=is_deleted, **more
    )


# --- to and from the store ---------------------------------------------------------------------------------


def object_to_json(definition: ObjectDef) -> dict[str, Any]:
    """A plain dictionary that `object_from_json` reads back."""
    data = asdict(definition)
    for derived in ("by_name", "by_lower", "by_relationship"):
        data.pop(derived)
    return data


def field_from_json(data: Mapping[str, Any]) -> FieldDef:
    """A field from `asdict` form."""
    values = dict(data)
    values["reference_to"] = tuple(values.get("reference_to") or ())
    values["picklist"] = tuple(PicklistValue(**v) for v in values.get("picklist") or ())
    values["parts"] = tuple((a, b) for a, b in values.get("parts") or ())
    return FieldDef(**values)


def object_from_json(data: Mapping[str, Any]) -> ObjectDef:
    """An object from `object_to_json` form."""
    values = dict(data)
    values["fields"] = tuple(field_from_json(f) for f in values["fields"])
    return ObjectDef(**values)


def custom_prefix(number_: int) -> str:
    """The key prefix of the n-th custom object of an org: a00, a01, ..."""
    return "a" + BASE62[number_ // 62 % 62] + BASE62[number_ % 62]


# --- tables ------------------------------------------------------------------------------------------------


def column_type(definition: FieldDef) -> str:
    """The SQLite column type: text compares caselessly, as SOQL does, ids and case-sensitive fields do not."""
    if definition.type == "boolean" or definition.type == "int":
        return "INTEGER"
    if definition.type in NUMBER_TYPES:
        return "REAL"
    if definition.is_text and not definition.case_sensitive:
        return "TEXT COLLATE NOCASE"
    return "TEXT"


def create_table_sql(definition: ObjectDef) -> list[str]:
    """Table and indexes of one object: `_seq` is the running number inside the id."""
    columns = ["_seq INTEGER PRIMARY KEY"] + [f'"{f.name}" {column_type(f)}' for f in definition.stored_fields]
    statements = [f'CREATE TABLE IF NOT EXISTS "{definition.name}" ({", ".join(columns)})']
    statements.append(f'CREATE UNIQUE INDEX IF NOT EXISTS "{definition.name}_Id" ON "{definition.name}" ("Id")')
    for one in definition.stored_fields:
        statements.extend(create_index_sql(definition, one))
    return statements


def create_index_sql(definition: ObjectDef, one: FieldDef) -> list[str]:
    """The index a field deserves: cursor column, name, external ids, and lookups other than to users."""
    parent = one.type == "reference" and one.reference_to != ("User",)
    if one.name == "SystemModstamp" or one.external_id or one.unique or one.name_field or parent:
        name = f"{definition.name}_{one.name}"
        return [f'CREATE INDEX IF NOT EXISTS "{name}" ON "{definition.name}" ("{one.name}")']
    return []


# --- describe ----------------------------------------------------------------------------------------------


def label_of(definition: FieldDef) -> str:
    """The label: given, or the API name split into words."""
    if definition.label:
        return definition.label
    stem = definition.name.removesuffix("__c").replace("_", " ")
    words = "".join(f" {c}" if c.isupper() and i and stem[i - 1].islower() else c for i, c in enumerate(stem))
    return words


def describe_field(definition: FieldDef) -> dict[str, Any]:
    """Every attribute that a describe answer carries for one field."""
    kind = definition.type
    text_like = definition.is_text or kind in ("id", "reference")
    length = definition.length if text_like else 0
    digits = definition.precision if kind == "int" else 0
    long_area = kind == "textarea" and definition.length > 255
    sortable = not long_area and kind not in ("address", "multipicklist")
    return {
        "aggregatable": not long_area and kind not in ("boolean", "address", "multipicklist"),
        "aiPredictionField": False,
        "autoNumber": definition.auto_number is not None,
        "byteLength": length * 3,
        "calculated": definition.calculated_formula is not None,
        "calculatedFormula": definition.calculated_formula,
        "cascadeDelete": definition.cascade_delete,
        "caseSensitive": definition.case_sensitive,
        "compoundFieldName": definition.compound,
        "controllerName": None,
        "createable": definition.createable,
        "custom": definition.custom,
        "defaultValue": definition.default if kind == "boolean" else None,
        "defaultValueFormula": None,
        "defaultedOnCreate": _defaulted_on_create(definition),
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": digits,
        "displayLocationInDecimal": False,
        "encrypted": kind == "encryptedstring",
        "externalId": definition.external_id,
        "extraTypeInfo": None,
        "filterable": not long_area,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": sortable and kind not in ("datetime", *NUMBER_TYPES),
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": kind == "id" or definition.external_id or definition.id_lookup,
        "inlineHelpText": definition.help,
        "label": label_of(definition),
        "length": length,
        "mask": None,
        "maskType": None,
        "name": definition.name,
        "nameField": definition.name_field,
        "namePointing": False,
        "nillable": definition.nillable and not definition.required,
        "permissionable": definition.nillable and not definition.required and not definition.computed,
        "picklistValues": [
            {
                "active": v.active,
                "defaultValue": v.default,
                "label": v.label or v.value,
                "validFor": None,
                "value": v.value,
            }
            for v in definition.picklist
        ],
        "polymorphicForeignKey": False,
        "precision": definition.precision if kind in NUMBER_TYPES else 0,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(definition.reference_to),
        "relationshipName": definition.relationship,
        "relationshipOrder": 0 if definition.cascade_delete and definition.custom else None,
        "restrictedDelete": False,
        "restrictedPicklist": definition.restricted,
        "scale": definition.scale if kind in NUMBER_TYPES else 0,
        "searchPrefilterable": kind == "reference",
        "soapType": SOAP_TYPES.get(kind, "xsd:string"),
        "sortable": sortable,
        "type": kind,
        "unique": definition.unique,
        "updateable": definition.updateable,
        "writeRequiresMasterRead": False,
    }


def _defaulted_on_create(definition: FieldDef) -> bool:
    """Whether the org fills the field in by itself when a create leaves it out."""
    filled = definition.type in ("id", "boolean") or definition.computed or definition.default is not None
    return filled or definition.name in ("OwnerId", "CurrencyIsoCode") or definition.auto_number is not None


def describe_global_entry(definition: ObjectDef, base: str) -> dict[str, Any]:
    """The entry of one object in the list of objects; `base` is `/services/data/vXX.0`."""
    path = f"{base}/sobjects/{definition.name}"
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": definition.createable,
        "custom": definition.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": definition.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": definition.prefix,
        "label": definition.label,
        "labelPlural": definition.plural,
        "layoutable": True,
        "mergeable": definition.mergeable,
        "mruEnabled": True,
        "name": definition.name,
        "queryable": True,
        "replicateable": definition.replicateable,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": definition.has_is_deleted,
        "updateable": definition.updateable,
        "urls": {"sobject": path, "describe": f"{path}/describe", "rowTemplate": path + "/{ID}"},
    }


def describe_object(definition: ObjectDef, others: Iterable[ObjectDef], base: str) -> dict[str, Any]:
    """The whole describe answer of one object; child relationships are found by walking the `others`."""
    children: list[dict[str, Any]] = [
        {
            "cascadeDelete": one.cascade_delete,
            "childSObject": other.name,
            "deprecatedAndHidden": False,
            "field": one.name,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
            "relationshipName": one.child_relationship,
            "restrictedDelete": False,
        }
        for other in others
        for one in other.fields
        if definition.name in one.reference_to
    ]
    entry = describe_global_entry(definition, base)
    urls = {
        **entry["urls"],
        "layouts": f"{base}/sobjects/{definition.name}/describe/layouts",
        "approvalLayouts": f"{base}/sobjects/{definition.name}/describe/approvalLayouts",
        "compactLayouts": f"{base}/sobjects/{definition.name}/describe/compactLayouts",
        "uiDetailTemplate": "/{ID}",
        "uiEditTemplate": "/{ID}/e",
        "uiNewRecord": f"/{definition.prefix}/e",
    }
    master = {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": True,
        "developerName": "Master",
        "master": True,
        "name": "Master",
        "recordTypeId": "012000000000000AAA",
        "urls": {"layout": f"{base}/sobjects/{definition.name}/describe/layouts/012000000000000AAA"},
    }
    return {
        **entry,
        "actionOverrides": [],
        "childRelationships": children,
        "compactLayoutable": True,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [describe_field(one) for one in definition.fields],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [master],
        "searchLayoutable": True,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [
            {"label": f"All {definition.plural.lower()}", "name": "everything"},
            {"label": f"My {definition.plural.lower()}", "name": "mine"},
        ],
        "urls": urls,
    }
