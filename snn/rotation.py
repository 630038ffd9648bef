"""The Hadamard rotation, which spreads the outliers of a vector over all of its channels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Vector = Float[Array, " inputs"]

# the first row of Paley's Hadamard matrix of order 12: squares modulo 11, bordered
_SQUARES = {i * i % 11 for i in range(1, 11)}
_JACOBSTHAL = np.array(
    [[0 if i == j else 1 if (i - j) % 11 in _SQUARES else -1 for j in range(11)] for i in range(11)]
)
_BORDERED = np.block([[np.zeros((1, 1)), np.ones((1, 11))], [-np.ones((11, 1)), _JACOBSTHAL]])
PALEY12 = _BORDERED + np.eye(12)


class Hadamard(eqx.Module):
    r"""The orthogonal rotation $Q = H D / \sqrt n$, of random signs D and entries $\pm 1$ in H.

    H is the Kronecker product of one matrix of order 1 or 12 with Sylvester's of order $2^m$, so
    that additions alone compute H x, about n (m + 11) of them for 12 and n m for 1.

    Attributes:
        signs: D, shape (n,), n = 2^m or 12 2^m.

    Source: Paley (1933), On orthogonal matrices, J. Math. Phys. 12, 311-320.
    """

    signs: Vector

    def __check_init__(self):
        n = len(self.signs)
        if (n // 12 if n % 12 == 0 else n).bit_count() != 1:
            raise ValueError(f"Hadamard needs 2^m or 12 x 2^m channels, got {n}")

    @classmethod
    def random(cls, n: int, *, key: Array) -> "Hadamard":
        """A rotation of n channels with signs drawn evenly."""
        return cls(jax.random.rademacher(key, (n,), jnp.float32))

    def __call__(self, x: Vector) -> Vector:
        """The rotated vector."""
        n = len(self.signs)
        block = 12 if n % 12 == 0 else 1
        x = (x * self.signs).reshape(block, -1)
        if block == 12:
            x = jnp.asarray(PALEY12, x.dtype) @ x
        half = x.shape[1] // 2
        while half:
            pairs = x.reshape(-1, 2, half)
            x = jnp.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
            half //= 2
        return x.reshape(n) / n**0.5

    @property
    def additions(self) -> int:
        """Additions that one rotation takes, the twelfth-order factor done densely."""
        n = len(self.signs)
        block = 12 if n % 12 == 0 else 1
        return n * ((n // block).bit_length() - 1 + block - 1)

    def fold(self, weight: Float[Array, "outputs inputs"]) -> Float[Array, "outputs inputs"]:
        """The weights that read the rotated input: (W Q') (Q x) = W x."""
        return jax.vmap(self)(weight)
