"""How curved the energy is: eigenvalues of its Hessian, which bound the rates of inference."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from fep.predictive_coding.coordinates import Coordinates, errors
from fep.predictive_coding.network import Clamped, PCState


def curvatures(
    clamped: Clamped,
    state: PCState | None,
    *,
    steps: int,
    key: PRNGKeyArray,
    coordinates: Coordinates = errors,
) -> Float[Array, " steps"]:
    r"""Ritz values of the energy's Hessian, ascending: the outer ones are its outer eigenvalues.

    Lanczos' recurrence on Hessian-vector products, each new direction made orthogonal to all
    earlier ones. A gradient step is stable at rates below 2 / the largest value.

    Args:
        clamped: the network on one sample.
        state: where; None for the feed-forward start.
        steps: Hessian-vector products, at most as many as there are free units.
        key: of the first direction.
        coordinates: what moves; over `errors` a linear network's values are those of
            $\Pi + J^T \Lambda J$.

    Raises:
        ValueError: if `steps` is below 1 or above the number of free units.

    Source: Lanczos (1950), J. Res. Natl. Bur. Stand. 45; Golub & Van Loan (2013), Matrix
    Computations, sec. 10.1 and 10.3, with complete reorthogonalisation.
    """
    chart = coordinates(clamped, state)
    point, unravel = ravel_pytree(chart.start)
    if not 1 <= steps <= point.size:
        raise ValueError(f"steps must be 1 to {point.size} free units, got {steps}")
    slope = jax.grad(lambda flat: chart.energy(unravel(flat)))
    curve = lambda v: jax.jvp(slope, (point,), (v,))[1]

    def step(carry, i):
        basis, direction = carry
        basis = basis.at[i].set(direction)
        image = curve(direction)
        along = direction @ image
        rest = image - basis.T @ (basis @ image)
        rest -= basis.T @ (basis @ rest)  # once more, for what rounding left
        length = jnp.linalg.norm(rest)
        ahead = rest / jnp.maximum(length, jnp.finfo(rest.dtype).tiny)
        return (basis, ahead), (along, length)

    start = jax.random.normal(key, point.shape, point.dtype)
    carry = jnp.zeros((steps, point.size), point.dtype), start / jnp.linalg.norm(start)
    _, (diagonal, beside) = jax.lax.scan(step, carry, jnp.arange(steps))
    beside = beside[:-1]
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))
