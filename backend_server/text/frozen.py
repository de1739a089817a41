"""What has named values and never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Mapping, TypeVar


if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:  # only mypy, which has it built in, reads what this says

    def dataclass_transform(**_):
        return lambda cls: cls


F = TypeVar("F", bound="Frozen")


@dataclass_transform(frozen_default=True)
class Frozen:
    """A class below it is declared, and used, as a frozen dataclass.

    A dataclass compiles its own methods at every start. These are compiled once, for all; the
    names with an underscore are those of a NamedTuple. For what changes, or has an order of
    its own, there are dataclass and NamedTuple.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _field_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        named = (*cls._fields, *getattr(cls, "__annotations__", {}))
        public = (name for name in named if not name.startswith("_"))
        cls._fields = tuple(dict.fromkeys(public))
        own = vars(cls)
        defaults = {name: own[name] for name in cls._fields if name in own}
        cls._field_defaults = {**cls._field_defaults, **defaults}

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self._fields, values), **named)
        found = {**self._field_defaults, **given}
        if len(given) < len(values) + len(named) or found.keys() != {*self._fields}:
            wanted = f"{type(self).__name__}({', '.join(self._fields)})"
            raise TypeError(f"found {values} and {named}; wanted {wanted}")
        vars(self).update(found)
        self.__post_init__()

    def __post_init__(self) -> None:
        """For a class that refuses some values."""

    def _replace(self: F, **changes: Any) -> F:
        return type(self)(**{**vars(self), **changes})

    def _asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fields}

    def __setattr__(self, name: str, *value: object) -> None:
        raise AttributeError(f"{type(self).__name__} never changes: {name}")

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({', '.join(values)})"
