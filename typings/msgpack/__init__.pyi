from collections.abc import Callable
from typing import Any

def packb(o: Any, *, use_bin_type: bool = ...) -> bytes: ...
def unpackb(
    packed: bytes,
    *,
    object_pairs_hook: Callable[[list[tuple[Any, Any]]], Any] | None = ...,
    list_hook: Callable[[list[Any]], Any] | None = ...,
    ext_hook: Callable[[int, bytes], Any] = ...,
    timestamp: int = ...,
    max_array_len: int = ...,
    max_map_len: int = ...,
    max_str_len: int = ...,
    max_bin_len: int = ...,
    max_ext_len: int = ...,
) -> Any: ...
