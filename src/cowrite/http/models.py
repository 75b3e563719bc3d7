"""The shapes of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from cowrite.core.ports import Grant
from cowrite.core.sessions.session import Session
from cowrite.crdt.operations import MAX_STEPS
from cowrite.http.credentials import check_document_id

Id = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
DOCUMENT_ID: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\u0000]*$",
    "examples": ["doc_123"],
}
DocumentId = Annotated[str, AfterValidator(check_document_id), WithJsonSchema(DOCUMENT_ID)]
"""Raises 422 ``bad_document_id``."""
OperationId = Annotated[str, StringConstraints(min_length=1, max_length=36, pattern=r"^[^\x00]*$")]
Token = Annotated[str, StringConstraints(max_length=8192)]
Status = Literal["ok", "degraded", "draining"]
Activity = Literal["active", "idle", "away"]
MAX_TTL: Final = 3600
"""Seconds for which a session may say that it is here."""


class Strict(BaseModel):
    """A request: fields that it does not have are refused."""

    model_config = ConfigDict(extra="forbid")


class User(BaseModel):
    """Who somebody is."""

    id: str
    name: str | None
    colour: str | None


class Present(BaseModel):
    """One session of somebody who is in a document: a tab, or a program."""

    session_id: str
    transport: str = Field(description="`yjs`, `hocuspocus`, `websocket` or `polling`.")
    client: str | None = Field(description="The client's library, where it says so.")
    state: Activity = Field(description="`idle`: nothing done for a minute; `away`: for ten, or it says so.")
    cursor: Any = Field(description="Where it points, as it likes to tell it.")
    data: dict[str, Any] | None = Field(description="What else it tells about itself.")
    last_active: int = Field(description="When it last did something: milliseconds since 1970, give or take some seconds.")


class Person(BaseModel):
    """Somebody who is in a document."""

    user: User
    sessions: list[Present] = Field(description="One or more.")


class Operation(BaseModel):
    """An operation as committed."""

    id: OperationId
    type: Literal["insert", "delete", "format"]
    position: list[str | int] = Field(description="Root, child indexes or keys, then an index in UTF-16 code units or a key.")
    content: Any = Field(
        default=None, description='Of an insertion: text, `{"embed": …}`, a list of items or nodes, or a value.'
    )
    length: int | None = Field(default=None, description="Of a deletion or formatting.")
    attributes: dict[str, Any] | None = None
    author: str
    created_at: int = Field(description="Milliseconds since 1970.")
    vector_clock: dict[str, int]


_POSITION = {
    "type": "array",
    "prefixItems": [{"type": "string"}],
    "items": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**53 - 1}, {"type": "string"}]},
    "minItems": 1,
    "maxItems": MAX_STEPS,
}
_LONG_POSITION = _POSITION | {"minItems": 2}


class OperationDraft(Strict):
    """An operation to be written. Fields that the server gives may be there, and are ignored."""

    id: OperationId | None = Field(
        default=None, description="Best a UUID: sent again with the same id, it is not applied twice."
    )
    author: Any = None
    created_at: Any = None
    vector_clock: Any = None


class Insertion(OperationDraft):
    """Puts something at an index or a key."""

    type: Literal["insert"]
    position: Annotated[list[str | int], WithJsonSchema(_LONG_POSITION)]
    content: Any = Field(description='At an index text, `{"embed": …}` or a list of items or nodes; at a key any value.')
    attributes: dict[str, Any] | None = Field(default=None, description="Of text; absent: those of the unit before it.")


class Deletion(OperationDraft):
    """Takes away so many units from an index on, or the entry of a key."""

    type: Literal["delete"]
    position: Annotated[list[str | int], WithJsonSchema(_POSITION)]
    length: int | None = Field(default=None, ge=1, description="With an index.")


class Formatting(OperationDraft):
    """Sets attributes of text or of a node; null removes one."""

    type: Literal["format"]
    position: Annotated[list[str | int], WithJsonSchema(_POSITION)]
    length: int = Field(ge=1)
    attributes: dict[str, Any] = Field(min_length=1)


class WriteBody(Strict):
    """Operations that were made one after the other for the document at ``base``: committed together or not at all."""

    document_id: DocumentId
    operations: list[Insertion | Deletion | Formatting] = Field(min_length=1, max_length=500)
    base: OperationId | None = Field(description="The last operation that was read from the server; null: the empty document.")
    after: OperationId | None = Field(default=None, description="The session's own operation on which these build.")
    access_token: Token | None = None


class Written(BaseModel):
    """What became of operations."""

    operations: list[Operation] = Field(
        description="As committed: fewer or more where others have changed the place meanwhile."
    )
    head: str | None = Field(description="The last operation of the log: the next `base`.")
    offset: int
    since_base: list[Operation] | None = Field(
        description="All operations behind `base` in order, up to `head`; null: too many."
    )


class Polled(BaseModel):
    """What is new behind a cursor."""

    operations: list[Operation]
    presence: list[Person]
    heartbeat: int = Field(description="The server's time: milliseconds since 1970.")
    head: str | None = Field(description="The last operation: the next `last_operation`.")
    offset: int
    link: Literal["ok", "degraded"]
    server: Status
    reset: Literal[True] | None = Field(
        None, description="Too much has happened, or the cursor is unknown: take `state` instead."
    )
    state: dict[str, Any] | None = Field(default=None, description="The whole document at `head`.")
    read_only: Literal["damaged"] | None = Field(
        None, description="The document is damaged: it is read up to `offset`, and nobody writes it."
    )


class ClientInfo(BaseModel):
    """What a client may say about itself. It is logged, and told to the others in the document."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, StringConstraints(max_length=100)] | None = None
    version: Annotated[str, StringConstraints(max_length=100)] | None = None

    @property
    def label(self) -> str | None:
        """Name and version as one text."""
        return " ".join(part for part in (self.name, self.version) if part) or None


class ConnectBody(Strict):
    """Who wants to edit what."""

    document_id: DocumentId
    session_token: Token | None = Field(
        default=None, description="Made by the host application; in demo mode it may be left out."
    )
    client: ClientInfo | None = None
    failed: list[Annotated[str, StringConstraints(max_length=30)]] = Field(
        default_factory=list, max_length=10, description="Transports that did not work for this client, such as `websocket`."
    )


class TransportOffer(BaseModel):
    """A way to talk to the server."""

    name: Literal["websocket", "yjs", "hocuspocus", "polling"]
    url: str = Field(description="Of the socket; for polling, where to read.")
    protocol: str | None = Field(default=None, description="The sub-protocol to offer.")
    write_url: str | None = Field(default=None, description="Where a polling client sends operations or messages.")
    presence_url: str | None = Field(default=None, description="Where it tells about itself.")


class Admitted(BaseModel):
    """A session, and the token that proves it. Times are milliseconds since 1970."""

    session_id: str
    access_token: str = Field(description="Shown with each request: `Authorization: Bearer …`.")
    expires_at: int = Field(description="When the access token ends; refresh it before.")
    session_expires_at: int
    document_id: str
    grant: Grant
    read_only: Literal["damaged"] | None = Field(
        None,
        description="Why `grant` is no more than `read`, where that is not the session's own: the document is damaged in the "
        "database, and is read as it was at `offset` until it is mended.",
    )
    user: User


class Connected(Admitted):
    """All that a client needs to know."""

    transports: list[TransportOffer] = Field(description="In the order in which to try them.")
    head: str | None = Field(description="The last operation of the document.")
    offset: int
    epoch: str = Field(description="Names the log: offsets of another one say nothing here.")
    batch_interval_ms: int = Field(description="How long edits wait for one another, at most.")
    heartbeat_interval_ms: int = Field(description="How often a client that does not wait should poll, at least.")
    server: Status


class RefreshBody(Strict):
    """Renews access."""

    access_token: Token | None = Field(
        default=None, description="Unless it comes in the header; it may have ended up to a day ago."
    )
    session_token: Token | None = Field(default=None, description="A new one, to go on beyond the end of the first.")


class PresenceBody(Strict):
    """What a client tells the others about itself. What is left out stays as it was."""

    document_id: DocumentId
    state: Activity | None = Field(
        default=None, description="Holds until the session does something; by itself it is `active`."
    )
    cursor: Any = None
    data: dict[str, Any] | None = None
    ttl: Annotated[int, Field(ge=0, le=MAX_TTL)] | None = Field(
        default=None,
        description="Seconds for which it is here, whatever becomes of this server process; 0: it goes. For programs that do "
        "not poll.",
    )
    access_token: Token | None = None


class GrantBody(Strict):
    """Changes what those may do who are named: by document, user, session or several of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("document_id", "user_id", "session_id")
            ]
        },
    )

    document_id: DocumentId | None = None
    user_id: Id | None = None
    session_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")] | None = None
    grant: Literal["read", "comment", "write", "admin", "restore"] | None = Field(
        description="What they may do from now on; null: nothing; `restore`: what was granted at first."
    )
    reason: Annotated[str, StringConstraints(max_length=1000)] | None = None


class GrantChanged(BaseModel):
    """A change is in force."""

    revision: int


class Document(BaseModel):
    """What is known of a document without its content. Times are milliseconds since 1970."""

    document_id: str
    epoch: str
    offset: int
    created_at: int
    updated_at: int
    deleted_at: int | None = None
    log_bytes: int
    first_offset: int = Field(description="The oldest entry that is kept, once there is one: 1, unless history was forgotten.")


class Documents(BaseModel):
    """A page of documents, by id."""

    documents: list[Document]
    next: str | None = Field(description="The next page's `after`; null: this is the last one.")


class CreateBody(Strict):
    """A new document."""

    document_id: DocumentId


class DocumentState(BaseModel):
    """A whole document."""

    document_id: str
    head: str | None
    offset: int
    epoch: str
    content: dict[str, Any] = Field(description="By root: `$text`, `$map`, `$array` or `$xml`.")


class OperationsPage(BaseModel):
    """Operations in the order of the log: those of one entry are never parted."""

    operations: list[Operation]
    next: str | None = Field(description="The next page's `after`; null: this is the last one.")
    readable_offset: int | None = Field(
        None,
        description="Only where an entry is damaged, which ends the page: the last offset before it. What is intact behind it "
        "begins with `after=offset:` and one more than this.",
    )


class PresenceList(BaseModel):
    """Who is in a document."""

    presence: list[Person]


def user_of(session: Session) -> User:
    """Who a session's user is."""
    return User(id=session.author, name=session.access.name, colour=session.access.colour)


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model with what it refers to in place, for bodies that FastAPI does not read itself."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rpartition("/")[2]])
        return {name: resolve(value) for name, value in part.items()}

    resolved: dict[str, Any] = resolve(schema)
    return resolved
