"""One call and its answer, apart from HTTP, so that composite requests go through the same handlers as real ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from platforms.kit import jsonio
from platforms.kit.sandbox.app import BadBody
from platforms.kit.sandbox.service import Refusal

JSON = "application/json;charset=UTF-8"


@dataclass(kw_only=True)
class Call:
    """A request as handlers see it. `version` is the API version as a number, `host` the address the caller used."""

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    given: Any = None
    user: str = ""
    host: str = ""
    version: float = 67.0

    @property
    def base(self) -> str:
        """`/services/data/vXX.0` of this call."""
        return f"/services/data/v{self.version:.1f}"

    def json(self) -> Any:
        """The body as JSON. Raises BadBody."""
        if self.given is not None:
            return self.given
        if not self.body.strip():
            return None
        try:
            return jsonio.loads(self.body)
        except ValueError as error:
            raise BadBody(str(error)) from error

    def mapping(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadBody."""
        found = self.json()
        if not isinstance(found, dict):
            raise BadBody("Unexpected character where a JSON object was expected")
        return found

    def arg(self, name: str, default: str = "") -> str:
        """A query parameter, its name caseless."""
        return next((value for key, value in self.query.items() if key.lower() == name.lower()), default)


@dataclass(kw_only=True)
class Answer:
    """Status, body (JSON unless `content_type` says otherwise) and headers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON

    def response(self) -> Response:
        """As an HTTP response."""
        if self.body is None:
            return Response(b"", self.status, self.headers)
        content = self.body if isinstance(self.body, bytes) else orjson.dumps(self.body, default=plain)
        response = Response(content, self.status, self.headers)
        response.headers["content-type"] = self.content_type
        return response


def plain(value: Any) -> Any:
    """JSON for Decimals: as the vendor writes numbers, with a point."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def error_list(code: str, message: str, status: int = 400, fields: Sequence[str] = ()) -> Answer:
    """The REST API's error: a list with one object."""
    entry: dict[str, Any] = {"message": message, "errorCode": code}
    if fields:
        entry["fields"] = list(fields)
    return Answer(status=status, body=[entry])


def refused(refusal: Refusal, base: str = "/services/data/v67.0") -> Answer:
    """A Refusal in the REST API's shape; several matches of an external id are 300 with their addresses."""
    ids = refusal.details.get("ids")
    if refusal.status == 300 and ids:
        name = refusal.details.get("object", "")
        return Answer(status=300, body=[f"{base}/sobjects/{name}/{one}" for one in ids])
    if refusal.status == 412:
        return Answer(status=412)
    return error_list(refusal.code, refusal.message, refusal.status, refusal.fields)


def row_error(code: str, message: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """The error of one row of a collection: `statusCode`, not `errorCode`."""
    return {
        "success": False,
        "errors": [{"statusCode": code, "message": message, "fields": list(fields)}],
    }


Handler = Callable[[Call], Answer]


@dataclass
class Table:
    """Routes below `/services/data/vXX.0`, for HTTP and for subrequests alike."""

    entries: list[tuple[str, frozenset[str], Handler, re.Pattern[str], Any]] = field(default_factory=list)

    def add(self, template: str, methods: str, handler: Handler) -> None:
        """Route `METHOD METHOD` of a path template to a handler; earlier ones win."""
        pattern, _, convertors = compile_path(template or "/")
        caseless = re.compile(pattern.pattern, re.IGNORECASE)
        self.entries.append((template, frozenset(methods.split()), handler, caseless, convertors))

    def find(self, method: str, path: str) -> tuple[Handler | None, dict[str, str], bool]:
        """Handler and path parameters; the last value says whether the path exists for another method."""
        wanted = path.rstrip("/") or "/"
        elsewhere = False
        for _, methods, handler, pattern, _ in self.entries:
            match = pattern.match(wanted)
            if match is None:
                continue
            if method in methods:
                return handler, match.groupdict(), False
            elsewhere = True
        return None, {}, elsewhere

    def subrequest(self, outer: Call, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """Handle one part of a composite call as if it had come alone; `url` may start at `vXX.0/`."""
        parts = urlsplit(url)
        match = re.match(r"^/?(?:services/data/)?v(\d+\.\d)(/.*)?$", parts.path)
        if match is None:
            return error_list("NOT_FOUND", "The requested resource does not exist", 404)
        handler, params, elsewhere = self.find(method.upper(), match.group(2) or "/")
        if handler is None:
            if elsewhere:
                return error_list("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed.", 405)
            return error_list("NOT_FOUND", "The requested resource does not exist", 404)
        call = Call(
            method=method.upper(),
            path=parts.path,
            params={name: unquote(value) for name, value in params.items()},
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in headers.items()},
            given=body,
            user=outer.user,
            host=outer.host,
            version=float(match.group(1)),
        )
        return answer_of(handler, call)


def answer_of(handler: Handler, call: Call) -> Answer:
    """What a handler says, refusals and unparsable bodies included."""
    from platforms.salesforce.sandbox.soql import SoqlError

    try:
        return handler(call)
    except Refusal as refusal:
        return refused(refusal, call.base)
    except SoqlError as error:
        return error_list(error.code, error.message)
    except BadBody as error:
        return error_list("JSON_PARSER_ERROR", str(error))


def host_of(request: Request) -> str:
    """The address the caller used, without a path: what instance_url must say."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
