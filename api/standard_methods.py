"""The standard methods (AIP-131 to 135), once for every kind of resource."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, OperatorMessage, TenantMessage
from api.field_mask import merged
from api.mutation import Mutating, mutate
from api.seen import Seen
from api.serving import Serving
from lbaas.model import names
from lbaas.model.errors import NotFound, Violation
from lbaas.model.filter import Filter
from lbaas.model.names import Kind, check_id, check_name, project_of
from lbaas.model.objects import StoredObject
from lbaas.model.rules import AddressPolicy
from lbaas.store.transaction import Transaction

O = TypeVar("O", bound=StoredObject)  # noqa: E741  an object of the model
O_co = TypeVar("O_co", bound=StoredObject, covariant=True)
M = TypeVar("M", bound=TenantMessage | OperatorMessage)

_AT_ONCE = 100
"""How many messages are made before other calls get their turn on the loop."""


class Updating(Mutating, Protocol):
    """A request that updates."""

    @property
    def update_mask(self) -> FieldMask:
        """Gives the mask; whether there is one, `HasField` tells."""
        ...

    def HasField(self, field_name: Literal["update_mask"]) -> bool:  # noqa: N802
        """Tells whether a field is set."""
        ...


class Listing(Protocol):
    """A request for a page of a list."""

    @property
    def page_size(self) -> int:
        """Gives how many, 0 for the default."""
        ...

    @property
    def page_token(self) -> str:
        """Gives the token of the page, "" for the first."""
        ...

    @property
    def filter(self) -> str:
        """Gives the filter as written."""
        ...


class UpdateCommand(Protocol[O]):
    """The store's update of a kind."""

    def __call__(
        self, tx: Transaction, name: str, change: Callable[[O], O], *, etag: str = ""
    ) -> O:
        """Changes the stored object."""
        ...


class PageCommand(Protocol[O_co]):
    """The store's page of a kind."""

    def __call__(
        self,
        tx: Transaction,
        parent: str,
        *,
        filter: Filter,  # noqa: A002  the API's word
        after: str,
        limit: int,
    ) -> tuple[O_co, ...]:
        """Gives the next objects."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[O, M]):
    """All that differs between kinds of resources.

    `field` is the request's field that holds the object (`pool`; its id is in `pool_id`),
    `references` gives the names that must be of the object's own project, `carry` what the
    server keeps over an update (old, new), `facts` what is read beside objects to show them,
    `near` the name whose nodes a new object will have.
    """

    kind: Kind
    filter: Callable[[str], Filter]
    message: type[M]
    field: str
    parent: Kind | None
    read: Callable[[M, str, Reading], O]
    write: Callable[[O], M]
    check: Callable[[O, AddressPolicy], Sequence[Violation]]
    references: Callable[[O], Iterable[tuple[Kind, str]]]
    carry: Callable[[O, O], O]
    facts: Callable[[Transaction, Sequence[O]], Facts]
    show: Callable[[O, Facts, Seen], M]
    see: Callable[[Serving, str], Seen]
    near: Callable[[O], str]
    create: Callable[[Transaction, O], O]
    get: Callable[[Transaction, str], O]
    update: UpdateCommand[O]
    page: PageCommand[O]

    def refuse_foreign(self, obj: O) -> None:
        """Refuses an object that refers to another project's.

        Raises:
            NotFound: As if there were none.
        """
        for kind, name in self.references(obj):
            refuse_foreign(obj.name, kind, name)


def refuse_foreign(name: str, kind: Kind, reference: str) -> None:
    """Refuses a reference to another project's object, as if there were none.

    Raises:
        NotFound: The reference is a good name, of another project.
    """
    if kind.parse(reference) is not None and project_of(reference) != project_of(name):
        raise NotFound(kind.title, reference)


class StandardMethods(Generic[O, M]):
    """Create, Get, List, Update and Delete of one kind."""

    def __init__(self, resource: Resource[O, M], serving: Serving) -> None:
        """Takes what differs, and what all share."""
        self._resource = resource
        self._serving = serving

    async def create(
        self, request: Mutating, *, parent: str, object_id: str, message: M | None
    ) -> M:
        """Creates an object; one without an id gets a random one."""
        resource, reading = self._resource, Reading()
        name = self._new_name(parent, object_id, reading)
        if message is None:
            reading.wrong(resource.field, "is required: give the object", "REQUIRED")
            message = resource.message()
        obj = resource.read(message, name, reading)
        if not reading.violations:
            resource.refuse_foreign(obj)
        reading.add(resource.check(obj, self._serving.policy))
        seen = resource.see(self._serving, resource.near(obj)).of_new()

        def work(tx: Transaction) -> M:
            return self.picture(tx, [resource.create(tx, obj)], lambda _: seen)[0]

        return await self._mutate(request, reading=reading, scope=name, work=work)

    async def get(self, name: str) -> M:
        """Gives one object."""
        self.check_name(name)
        (message,) = await self._read(lambda tx: [self._resource.get(tx, name)])
        return message

    async def page(self, request: Listing, *, parent: str = "") -> tuple[list[M], str]:
        """Gives a page of objects, and the next page's token or ""."""
        resource = self._resource
        page = self._serving.pager.page(
            page_size=request.page_size,
            page_token=request.page_token,
            collection=resource.kind.pattern,
            scope=f"{parent}\0{request.filter}",
        )
        wanted = resource.filter(request.filter)
        found = await self._read(
            lambda tx: resource.page(
                tx, parent, filter=wanted, after=page.after, limit=page.size + 1
            )
        )
        if len(found) <= page.size:
            return found, ""
        return found[: page.size], page.token(found[page.size - 1].name)

    async def update(self, request: Updating, *, message: M) -> M:
        """Updates an object by the request's mask."""
        resource, name, reading = self._resource, message.name, Reading()
        reading.add(check_name(resource.kind, name, field=f"{resource.field}.name"))
        seen = resource.see(self._serving, name)

        def work(tx: Transaction) -> M:
            stored = resource.update(
                tx,
                name,
                lambda current: self.changed(request, current, message),
                etag=message.etag,
            )
            return self.picture(tx, [stored], lambda _: seen)[0]

        return await self._mutate(request, reading=reading, scope=name, work=work)

    async def act(
        self,
        request: Mutating,
        *,
        name: str,
        action: Callable[[Transaction], O],
        references: Sequence[tuple[Kind, str, str]] = (),
        new_id: tuple[str, str] = ("", ""),
    ) -> M:
        """Does anything else to one object (delete, associate) and gives it as it is then.

        Args:
            request: Asked for `validate_only` and `request_id`.
            name: The object's name.
            action: What is done.
            references: Other objects, of the same project: kind, request's field, name.
            new_id: The request's field of an id that the caller may choose, and the id or "".
        """
        reading = Reading()
        reading.add(check_name(self._resource.kind, name))
        for kind, field, reference in references:
            reading.add(check_name(kind, reference, field=field))
        if new_id[1]:
            reading.add(check_id(new_id[1], field=new_id[0]))
        if not reading.violations:
            for kind, _, reference in references:
                refuse_foreign(name, kind, reference)
        seen = self._resource.see(self._serving, name)
        return await self._mutate(
            request,
            reading=reading,
            scope=name,
            work=lambda tx: self.picture(tx, [action(tx)], lambda _: seen)[0],
        )

    def changed(self, request: Updating, current: O, message: M) -> O:
        """Gives the object as an update makes it.

        Raises:
            NotFound: It would refer to another project's object.
            InvalidArgument: Carries what is wrong with the mask and with the object.
        """
        resource, reading = self._resource, Reading()
        mask = request.update_mask if request.HasField("update_mask") else None
        wanted = merged(resource.write(current), message, mask, reading.violations)
        obj = resource.carry(current, resource.read(wanted, current.name, reading))
        resource.refuse_foreign(obj)
        reading.add(resource.check(obj, self._serving.policy))
        reading.finish()
        return obj

    def picture(
        self, tx: Transaction, objects: Sequence[O], look: Callable[[str], Seen]
    ) -> list[M]:
        """Gives objects that were just written, as they are answered.

        `look` gives what was seen of an object before the write, by its name.
        """
        facts = self._resource.facts(tx, objects)
        return [
            self._resource.show(obj, facts, look(obj.name).after_write(obj.record))
            for obj in objects
        ]

    def check_name(self, name: str) -> None:
        """Refuses a name that is none of this kind.

        Raises:
            InvalidArgument: Field `name`.
        """
        reading = Reading()
        reading.add(check_name(self._resource.kind, name))
        reading.finish()

    async def _read(self, work: Callable[[Transaction], Sequence[O]]) -> list[M]:
        def read(tx: Transaction) -> tuple[Sequence[O], Facts]:
            objects = work(tx)
            return objects, self._resource.facts(tx, objects)

        objects, facts = await self._serving.store.read(read)
        messages: list[M] = []
        for obj in objects:
            if len(messages) % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            seen = self._resource.see(self._serving, obj.name)
            messages.append(self._resource.show(obj, facts, seen))
        return messages

    async def _mutate(
        self,
        request: Mutating,
        *,
        reading: Reading,
        scope: str,
        work: Callable[[Transaction], M],
    ) -> M:
        return await mutate(
            self._serving.store,
            request,
            project=project_of(scope),
            answer=self._resource.message,
            reading=reading,
            work=work,
        )

    def _new_name(self, parent: str, object_id: str, reading: Reading) -> str:
        resource = self._resource
        if resource.parent is not None:
            reading.add(check_name(resource.parent, parent, field="parent"))
        if object_id:
            reading.add(check_id(object_id, field=f"{resource.field}_id"))
        if reading.violations:
            # A good name stands in, so that the object's own rules can be asked.
            return resource.kind.pattern.replace("{", "").replace("}", "").replace("_", "-")
        collection = resource.kind.pattern.rsplit("/", 1)[0]
        prefix = parent if resource.parent is not None else ""
        return "/".join(
            part
            for part in (prefix, collection.rsplit("/", 1)[-1], object_id or names.new_id())
            if part
        )
