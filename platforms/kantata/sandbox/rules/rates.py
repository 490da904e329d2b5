"""Which rate an hour gets: the most specific one in force on the work date.

Order: the rate sent with the hour, the resource's rate for that role in the project, the person's rate in the project,
the project's rate card (the version in force: the latest active `effective_date` on or before the work date; the role's
row, else the card's default rate), the person's default rate, the project's default rate, nothing (0).
A person's default rate is in the account currency and is used only for projects in that currency.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import validation
from platforms.kantata.sandbox.rules.base import Nested, ObjectRules, Row
from platforms.kantata.sandbox.rules.work import _items

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

Card = tuple[list[str], list[tuple[int | None, dict[int, int]]]]


class RateBook:
    """Rates of one transaction, looked up once and remembered; make a new one per transaction."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.account_currency = service.account_currency
        self._cards: dict[int, Card] = {}
        self._people: dict[tuple[int, int], tuple[dict[int | None, int], int | None, int | None, int | None]] = {}
        self._members: dict[int, tuple[int | None, int | None, int | None]] = {}
        self._found: dict[tuple[int, int, int | None, str], int] = {}
        self._windows: dict[int, list[str]] = {}

    def member(self, user_id: int) -> tuple[int | None, int | None, int | None]:
        """(default role, bill rate, cost rate) of a person's account membership."""
        if user_id not in self._members:
            row = self.service.store.one(
                "SELECT default_role_id, bill_rate_in_cents, cost_rate_in_cents FROM account_memberships"
                " WHERE user_id = ?",
                (user_id,),
            )
            self._members[user_id] = (
                (row["default_role_id"], row["bill_rate_in_cents"], row["cost_rate_in_cents"])
                if row
                else (None, None, None)
            )
        return self._members[user_id]

    def person(
        self, workspace_id: int, user_id: int
    ) -> tuple[dict[int | None, int], int | None, int | None, int | None]:
        """(rates of the person's resources by role, project rate, project cost, main role) in one project."""
        key = (workspace_id, user_id)
        if key not in self._people:
            resources = self.service.store.read(
                "SELECT role_id, resource_bill_rate, resource_cost_rate FROM workspace_resources"
                " WHERE workspace_id = ? AND user_id = ? ORDER BY id",
                key,
            )
            by_role = {r["role_id"]: r["resource_bill_rate"] for r in resources if r["resource_bill_rate"] is not None}
            role = next((r["role_id"] for r in resources if r["role_id"] is not None), None)
            cost = next((r["resource_cost_rate"] for r in resources if r["resource_cost_rate"] is not None), None)
            row = self.service.store.one(
                "SELECT rate_in_cents, cost_in_cents FROM participations WHERE workspace_id = ? AND user_id = ?", key
            )
            rate = row["rate_in_cents"] if row else None
            if row and row["cost_in_cents"] is not None:
                cost = row["cost_in_cents"]
            self._people[key] = (by_role, rate, cost, role)
        return self._people[key]

    def role(self, workspace_id: int, user_id: int) -> int | None:
        """The role an hour gets when none is named: the person's in the project, else in the account."""
        return self.person(workspace_id, user_id)[3] or self.member(user_id)[0]

    def cost(self, workspace_id: int, user_id: int) -> int | None:
        """The hour's cost rate in subunits."""
        cost = self.person(workspace_id, user_id)[2]
        return cost if cost is not None else self.member(user_id)[2]

    def card(self, card_id: int) -> Card:
        """Effective dates (ascending) of a card's active versions, and beside them (default rate, rate by role)."""
        if card_id not in self._cards:
            versions = self.service.store.read(
                "SELECT v.id, v.default_rate, s.effective_date FROM rate_card_versions v"
                " JOIN rate_card_set_versions s ON s.id = v.rate_card_set_version_id"
                " WHERE v.rate_card_id = ? AND s.active = 1 ORDER BY s.effective_date, s.id",
                (card_id,),
            )
            dates, rates = [], []
            for version in versions:
                rows = self.service.store.read(
                    "SELECT role_id, rate FROM rate_card_roles WHERE rate_card_version_id = ?", (version["id"],)
                )
                dates.append(version["effective_date"])
                rates.append((version["default_rate"], {r["role_id"]: r["rate"] for r in rows}))
            self._cards[card_id] = (dates, rates)
        return self._cards[card_id]

    def on_card(self, card_id: int, role_id: int | None, day: str) -> int | None:
        """The card's rate for a role on a day, in subunits; None before the first version."""
        dates, rates = self.card(card_id)
        at = bisect_right(dates, day) - 1
        if at < 0:
            return None
        default, by_role = rates[at]
        return by_role.get(role_id, default) if role_id is not None else default

    def rate(self, workspace: Row, user_id: int, role_id: int | None, day: str) -> int:
        """Subunits per hour in the project's currency."""
        card_id = workspace["rate_card_id"]
        # The rate changes only with a card version, so remember it per version window, not per day.
        window = ""
        if card_id is not None:
            at = bisect_right(self.card(card_id)[0], day)
            window = str(at)
        key = (workspace["id"], user_id, role_id, window)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._resolve(workspace, user_id, role_id, day)
        return found

    def _resolve(self, workspace: Row, user_id: int, role_id: int | None, day: str) -> int:
        by_role, project_rate, _, _ = self.person(workspace["id"], user_id)
        candidates: list[Any] = [by_role.get(role_id), project_rate]
        if workspace["rate_card_id"] is not None:
            candidates.append(self.on_card(workspace["rate_card_id"], role_id, day))
        if workspace["currency"] == self.account_currency:
            candidates.append(self.member(user_id)[1])
        candidates.append(workspace["default_rate_in_cents"])
        return next((int(rate) for rate in candidates if rate is not None), 0)


class RateCardSets(ObjectRules):
    """A price list in all its currencies; one may be the account's default, or belong to client groups."""

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        self._groups(service, row["id"], nested)
        if row["account_default"]:
            self._only_default(service, row["id"])

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        self._groups(service, old["id"], nested)
        if new["account_default"] and not old["account_default"]:
            self._only_default(service, old["id"])

    def _only_default(self, service: Service, id: int) -> None:
        service.store.write("UPDATE rate_card_sets SET account_default = 0 WHERE id <> ?", (id,))

    def _groups(self, service: Service, id: int, nested: Nested) -> None:
        if "workspace_group_ids" in nested:
            service.store.write("DELETE FROM rate_card_set_groups WHERE rate_card_set_id = ?", (id,))
            for group_id in _items(nested["workspace_group_ids"]):
                service.need("workspace_groups", group_id)
                service.store.write("INSERT OR IGNORE INTO rate_card_set_groups VALUES (?, ?)", (id, int(group_id)))


class RateCardSetVersions(ObjectRules):
    """A dated version of a set. It changes no rate until it is activated (`rate_card_set_version.activate`)."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["effective_date"] = row["effective_date"] or service.today()
        if service.store.read(
            "SELECT 1 FROM rate_card_set_versions WHERE rate_card_set_id = ? AND effective_date = ?",
            (row["rate_card_set_id"], row["effective_date"]),
        ):
            raise validation("effective_date", "Effective date has already been taken")

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if old["active"] and "effective_date" in changes and changes["effective_date"] != old["effective_date"]:
            raise validation("effective_date", "Effective date of an active version cannot be changed")


class RateCards(ObjectRules):
    """One currency of a set."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if service.store.read(
            "SELECT 1 FROM rate_cards WHERE rate_card_set_id = ? AND currency = ?",
            (row["rate_card_set_id"], row["currency"]),
        ):
            raise validation("currency", "Currency has already been taken")

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        if service.store.read("SELECT 1 FROM workspaces WHERE rate_card_id = ? LIMIT 1", (old["id"],)):
            raise validation("base", "Rate card is used by a project")
        return False


class RateCardVersions(ObjectRules):
    """The rates of one card in one version of the set."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if service.store.read(
            "SELECT 1 FROM rate_card_versions WHERE rate_card_id = ? AND rate_card_set_version_id = ?",
            (row["rate_card_id"], row["rate_card_set_version_id"]),
        ):
            raise validation("rate_card_set_version_id", "Rate card set version has already been taken")


class RateCardRoles(ObjectRules):
    """A role's rate in a card version."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if service.store.read(
            "SELECT 1 FROM rate_card_roles WHERE rate_card_version_id = ? AND role_id = ?",
            (row["rate_card_version_id"], row["role_id"]),
        ):
            raise validation("role_id", "Role has already been taken")


def activate_version(service: Service, id: Any, actor: int) -> None:
    """`rate_card_set_version.activate`: from now on its rates count for work dates on or after its effective date."""
    service.need("rate_card_set_versions", id)
    service.set_columns("rate_card_set_versions", int(id), {"active": 1})
