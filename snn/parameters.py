"""What a parameter of a mechanism may be, and how a bad one is refused."""

import jax
import numpy as np
from jaxtyping import Array, Float

# a plain number is a constant that compiles into the step; an array can be learned and batched
Parameter = float | int | Float[Array, "..."] | Float[np.ndarray, "..."]


def require_positive(**named: Parameter) -> None:
    """Refuse a parameter that is not above zero everywhere, by its name.

    Raises:
        ValueError: naming the parameter and its value.
    """
    for name, value in named.items():
        _require(name, value, "positive", lambda x: x > 0)


def require_nonnegative(**named: Parameter) -> None:
    """Refuse a parameter that is below zero anywhere, by its name.

    Raises:
        ValueError: naming the parameter and its value.
    """
    for name, value in named.items():
        _require(name, value, "at least 0", lambda x: x >= 0)


def require_below(low_name: str, low: Parameter, high_name: str, high: Parameter) -> None:
    """Refuse a pair out of order, such as a reset above its threshold.

    Raises:
        ValueError: naming both and their values.
    """
    if _traced(low) or _traced(high):
        return
    if not np.all(np.asarray(low) < np.asarray(high)):
        raise ValueError(f"{low_name} must lie below {high_name}, got {low} and {high}")


def _require(name: str, value: Parameter, wanted: str, holds) -> None:
    if not _traced(value) and not np.all(holds(np.asarray(value))):
        raise ValueError(f"{name} must be {wanted}, got {value}")


def _traced(value: Parameter) -> bool:
    """Whether the value is not known yet: inside a transformation there is nothing to check."""
    return isinstance(value, jax.core.Tracer) or not isinstance(
        value, float | int | np.ndarray | np.generic | jax.Array
    )
