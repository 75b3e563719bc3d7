"""The shapes of requests and answers about documents' pasts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cowrite.core.history.versions import MAX_NAME, MAX_NOTE
from cowrite.core.records import ActivityGroup, VersionKind
from cowrite.core.records import Version as StoredVersion
from cowrite.http.documents import MAX_MOMENT, MOMENT
from cowrite.http.models import Id, Operation, OperationId, Strict

NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=NO_NUL)]
Note = Annotated[str, StringConstraints(max_length=MAX_NOTE, pattern=NO_NUL)]
MomentText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MOMENT, pattern=NO_NUL)]


class Version(BaseModel):
    """A moment of a document that was marked."""

    id: str
    offset: int = Field(description="The document as it is with this entry and all before it.")
    kind: VersionKind = Field(
        description="`automatic`: made in a pause of editing; `restore`: what was there before something was brought back."
    )
    name: str | None
    note: str | None
    author: str = Field(description="Who made it; of an automatic one, who wrote last.")
    created_at: int = Field(description="When it was made: milliseconds since 1970.")

    @classmethod
    def of(cls, version: StoredVersion) -> Version:
        """A version as it is shown."""
        return cls.model_validate(version, from_attributes=True)


class Versions(BaseModel):
    """A page of versions, newest moment first."""

    versions: list[Version]
    next: str | None = Field(description="The `before` of the next page; null: there is none.")


class VersionBody(Strict):
    """Marks a moment."""

    name: Name | None = None
    note: Note | None = None
    at: MomentText | None = Field(default=None, description=f"{MOMENT} Now, if it is left out.")


class VersionChange(Strict):
    """What is left out stays."""

    name: Name | None = Field(default=None, description="An automatic version that gets one is `named` from then on.")
    note: Note | None = None


class MomentShown(BaseModel):
    """A moment."""

    offset: int
    created_at: int | None = Field(description="When that entry was made; null: of the empty document at the beginning.")


class Credit(BaseModel):
    """Whose something is; null where that was forgotten."""

    author: str | None
    created_at: int | None
    offset: int | None


class BlameRun(Credit):
    """What one person wrote at one place without long pauses."""

    position: list[str | int] = Field(description="As of an operation.")
    length: int = Field(description="In units: UTF-16 code units of text; 1 for each item, node and entry.")
    restored: Credit | None = Field(default=None, description="Who brought it back after it had been deleted.")


class Blame(BaseModel):
    """Who wrote what can be seen."""

    document_id: str
    offset: int
    runs: list[BlameRun] = Field(description="Everything that can be seen, exactly once, in the order of the document.")


class Diff(BaseModel):
    """What changed between two moments."""

    model_config = ConfigDict(populate_by_name=True)

    document_id: str
    from_: MomentShown = Field(alias="from")
    to: MomentShown
    roots: list[dict[str, Any]] | None = Field(default=None, description="Of the format `json`: a merged tree of each root.")
    operations: list[dict[str, Any]] | None = Field(
        default=None, description="Of the format `operations`: what would have to be done at `from`, one after the other."
    )


class CauseShown(BaseModel):
    """Why the server made an entry."""

    kind: Literal["restore", "undo", "import"]
    until: int = Field(
        description="The offset that was restored; the last entry of those that were undone; the head before an import."
    )
    after: int | None = Field(description="Of what was undone: the entry before.")
    root: str | None = Field(description="The only root that was restored; null: all. The root that was imported into.")
    author: str | None = Field(description="Whose changes were undone.")


class ActivityShown(BaseModel):
    """What one person did without a pause."""

    author: str
    first_offset: int
    last_offset: int
    began_at: int
    ended_at: int
    entries: int
    inserted: int = Field(description="Units: UTF-16 code units of text, and 1 for each item, node and entry.")
    deleted: int
    cause: CauseShown | None

    @classmethod
    def of(cls, group: ActivityGroup) -> ActivityShown:
        """A group as it is shown."""
        return cls.model_validate(group, from_attributes=True)


class Activity(BaseModel):
    """A page of what happened, newest first."""

    activity: list[ActivityShown]
    next: int | None = Field(description="The `before` of the next page; null: there is none.")


class RestoreBody(Strict):
    """Brings a document back to a moment."""

    to: MomentText = Field(description=MOMENT)
    root: Id | None = Field(default=None, description="Only this root; all, if it is left out.")
    id: OperationId | None = Field(default=None, description="Best a UUID: asked for again with it, it is not done twice.")


class UndoBody(Strict):
    """Takes back what one author did in some entries."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    author: Id
    from_: MomentText = Field(alias="from", description=f"What was done behind this moment. {MOMENT}")
    to: MomentText | None = Field(default=None, description="And up to this one; now, if it is left out.")
    id: OperationId | None = Field(default=None, description="Best a UUID: asked for again with it, it is not done twice.")


class Restored(BaseModel):
    """What became of it: a new entry, or none where there was nothing to do."""

    offset: int
    operations: list[Operation] | None = Field(description="As committed; null: more than 1000.")
    version: str | None = Field(
        description="The id of a version: what was there before. Null: there was nothing to do, or it was done before."
    )
    left: list[str] = Field(
        description="Roots in which an undo has taken back nothing: they hold things that do not go together, so that it "
        "cannot be told what was in them. A restore of such a root is refused."
    )


class Forgotten(BaseModel):
    """What is left of a history."""

    first_offset: int = Field(description="The oldest entry that is kept, once there is one.")
