"""Codes that turn values into spikes and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class HalvingCode(eqx.Module):
    r"""Difference coding by signed spikes whose size halves within a cycle.

    A receiver keeps a trace c of a value g. In each of n substeps, with
    $\theta_k = \theta_0 2^{-k}$, the sender fires $s_k = \mathrm{sign}(g - c)$ if
    $|g - c| > \theta_k$ and stays silent otherwise; a spike moves the trace by
    $\theta_k s_k$. If $|g - c| \le 2 \theta_0$ before a cycle, then
    $|g - c| \le \theta_{n-1}$ after it: nothing that has not changed costs a spike.

    Attributes:
        largest: $\theta_0$, in units of the value.
        halvings: n, substeps a cycle.

    Source: the successive-approximation schedule of DiffPC (ICLR 2026), theorem 4.1.
    """

    largest: float
    halvings: int = eqx.field(static=True)

    def __check_init__(self):
        if not self.largest > 0:
            raise ValueError(f"largest must be positive, got {self.largest}")
        if self.halvings < 1:
            raise ValueError(f"halvings must be at least 1, got {self.halvings}")

    @property
    def sizes(self) -> Float[Array, " n"]:
        """Spike sizes of one cycle, largest first, shape (n,)."""
        return self.largest * 0.5 ** jnp.arange(self.halvings)

    def cycle(
        self, value: Float[Array, " d"], trace: Float[Array, " d"]
    ) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
        """One cycle towards a held value: the new trace, and spikes in {-1, 0, 1}, (n, d)."""
        spikes = []
        for size in self.sizes:
            gap = value - trace
            spike = jnp.sign(gap) * (jnp.abs(gap) > size)
            trace = trace + size * spike
            spikes.append(spike)
        return trace, jnp.stack(spikes)
