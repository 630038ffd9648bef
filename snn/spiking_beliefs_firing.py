"""How populations turn rates into spikes: each neuron alone, staggered, by chance, or coupled."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Membranes(NamedTuple):
    """Potentials of all neurons, one row a population."""

    v: Float[Array, "states neurons"]  # in spikes: what one spike takes away is 1
    thresholds: Float[Array, "states neurons"]  # in spikes; infinite where a neuron is dead
    inhibition: Float[Array, "states neurons"]  # what a spike takes from its population, if coupled


class Alike(eqx.Module):
    """Neurons with one threshold, and phases evenly staggered in each population."""

    def draw(self, states: int, neurons: int) -> Membranes:
        """Potentials (k + 1/2) / N, thresholds and inhibition 1."""
        phases = (jnp.arange(neurons, dtype=float) + 0.5) / neurons
        ones = jnp.ones((states, neurons))
        return Membranes(jnp.tile(phases, (states, 1)), ones, ones)


class Varied(eqx.Module):
    """Neurons with random phases, mismatched thresholds and synapses, and some of them dead.

    Attributes:
        key: of what differs.
        mismatch: standard deviation of a threshold over its mean; cut off at three of them.
        dead: share of each population that never fires.
        synapses: the same as mismatch, of the inhibition that a spike sends, if it sends any.
    """

    key: PRNGKeyArray
    mismatch: float = 0.0
    dead: float = 0.0
    synapses: float = 0.0

    def __check_init__(self):
        for name in ("mismatch", "synapses"):
            if not 0 <= getattr(self, name) < 1 / 3:
                raise ValueError(f"{name} must lie in [0, 1/3), got {getattr(self, name)}")
        if not 0 <= self.dead < 1:
            raise ValueError(f"dead must be a share in [0, 1), got {self.dead}")

    def draw(self, states: int, neurons: int) -> Membranes:
        """Potentials uniform in [0, 1), thresholds and inhibition around 1."""
        phase, threshold, death, synapse = jax.random.split(self.key, 4)
        shape = states, neurons
        around = lambda key, spread: 1 + spread * jax.random.truncated_normal(key, -3.0, 3.0, shape)
        thresholds = around(threshold, self.mismatch)
        order = jnp.argsort(jax.random.uniform(death, shape), axis=1)
        thresholds = jnp.where(order < round(self.dead * neurons), jnp.inf, thresholds)
        phases = jax.random.uniform(phase, shape)
        return Membranes(phases, thresholds, around(synapse, self.synapses))


class Firing(eqx.Module):
    """A mechanism of firing.

    `init(states, neurons)` gives the neurons at rest, for populations of one size;
    `step(state, drive)` is one time step, with `drive` the mean number of spikes asked of each
    neuron of a population, shape (states,); it gives spikes of shape (states, neurons).
    """

    @property
    def shares_residual(self) -> bool:
        """Whether the neurons of a population inhibit each other."""
        return False


class IntegrateAndFire(Firing):
    r"""Neurons that integrate the drive of their population, each on its own.

    A neuron fires when $v \ge \theta$, and $\theta$ is then subtracted. Alike and staggered, a
    population's count in any window is off by less than one spike. With phases of chance it is
    off by about $\sqrt{N}$, and with mismatched thresholds populations also differ in gain.

    Attributes:
        members: who they are.
    """

    members: Alike | Varied = Alike()

    def init(self, states: int, neurons: int) -> Membranes:
        """Potentials and thresholds as the members have them."""
        return self.members.draw(states, neurons)

    def step(
        self, state: Membranes, drive: Float[Array, " states"]
    ) -> tuple[Membranes, Float[Array, "states neurons"]]:
        """Integrate, fire, subtract the threshold."""
        v = state.v + drive[:, None]
        fired = v >= state.thresholds
        return state._replace(v=jnp.where(fired, v - state.thresholds, v)), _float(fired)


class Coupled(Firing):
    r"""Neurons that share one residual through fast lateral inhibition.

    Every neuron of a population integrates the drive of the whole, N times its own; a spike of any
    of them takes 1 from all, and $\mu$ more from the one that fired:

    $v_k = D - n - \mu n_k$, with D the drive, n the spikes of all and $n_k$ those of neuron k.

    The neuron with the largest $v_k - \theta_k \ge 0$ fires first, and its inhibition arrives
    before the next one does. So one neuron fires per crossing, and mismatch decides who, not how
    many: with S = max($\mu$, spread of $v_k - \theta_k$ at the start), over the k neurons alive,
    the mean potential stays within $[\bar\theta - S - 1 - \mu/k, \bar\theta)$ and therefore

    $|(1 + \mu / k)\, n - D| < 1 + S + \mu / k$ in every window,

    whatever the number of neurons, their thresholds, and how many are dead, as long as no more
    than k spikes a time step are asked. The term $\mu$ makes neurons take turns. The factor of n
    is common to all populations, so the share of each in all spikes is off by O(1 / spikes). Where
    spikes differ in the inhibition they send, populations differ in gain by about
    `synapses` / sqrt(N), and no coupling can tell: what is counted must be what inhibits.

    Attributes:
        members: who they are.
        self_inhibition: mu, what a spike takes from its own neuron beyond what it takes from all.
        most: spikes of a population that fit in one time step, all by default. What does not fit
            comes in the next; a number somewhat above the drive saves most of the time.

    Source: the residual after Boerlin, Machens & Deneve (2013), PLoS Comput. Biol. 9, e1003258;
        mu stands for their quadratic cost of firing.
    """

    members: Alike | Varied = Alike()
    self_inhibition: float = 0.1
    most: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if not self.self_inhibition > 0:
            raise ValueError(f"self_inhibition must be positive, got {self.self_inhibition}")
        if self.most is not None and self.most < 1:
            raise ValueError(f"most must be at least one spike a time step, got {self.most}")

    @property
    def shares_residual(self) -> bool:
        """They do."""
        return True

    def init(self, states: int, neurons: int) -> Membranes:
        """Potentials and thresholds as the members have them."""
        return self.members.draw(states, neurons)

    def step(
        self, state: Membranes, drive: Float[Array, " states"]
    ) -> tuple[Membranes, Float[Array, "states neurons"]]:
        """Integrate, then fire in order of urgency until nobody is above threshold.

        The j-th most urgent neuron has been inhibited j times, so it fires if its excess is at
        least j; the excess falls along the order, so those that fire are the first of it.
        """
        neurons = state.v.shape[1]
        v = state.v + neurons * drive[:, None]
        most = min(self.most or neurons, neurons)
        excess, order = jax.lax.top_k(v - state.thresholds, most)  # of equals, the first in line
        weights = jnp.take_along_axis(state.inhibition, order, axis=1)
        before = jnp.cumsum(weights, axis=1) - weights
        fires = _float(excess >= before)
        spikes = jnp.put_along_axis(jnp.zeros_like(v), order, fires, 1, inplace=False)
        v = v - jnp.sum(fires * weights, axis=1, keepdims=True) - self.self_inhibition * spikes
        return state._replace(v=v), spikes


class LateState(NamedTuple):
    """Neurons whose inhibition is on its way."""

    members: Membranes
    residual: Float[Array, " states"]  # drive of a population minus its spikes, a time step ago


class LateCoupled(Firing):
    r"""Neurons that hear of their population's residual a time step late.

    Each integrates its own drive and a share of the residual $r = D - n$, as a current:
    $\Delta v_k = d + \kappa r / N$, and fires as alone. What is fired within a time step cannot be
    coordinated: the residual wanders by about $\sqrt{N d / 2 \kappa}$ spikes. So the error falls as
    $1 / \sqrt{N}$ again, though less of it by about $\sqrt{\text{step} / \text{window}}$.

    Attributes:
        members: who they are.
        gain: kappa, share of the residual that is made good in a time step.
    """

    members: Alike | Varied = Alike()
    gain: float = 0.5

    def __check_init__(self):
        if not 0 < self.gain < 2:
            raise ValueError(f"gain must lie in (0, 2), or the residual grows; got {self.gain}")

    @property
    def shares_residual(self) -> bool:
        """They do, late."""
        return True

    def init(self, states: int, neurons: int) -> LateState:
        """Potentials and thresholds as the members have them; nothing owed."""
        members = self.members.draw(states, neurons)
        return LateState(members, jnp.zeros_like(members.v[:, 0]))

    def step(
        self, state: LateState, drive: Float[Array, " states"]
    ) -> tuple[LateState, Float[Array, "states neurons"]]:
        """Integrate drive and residual, fire alone, and tell the others."""
        neurons = state.members.v.shape[1]
        asked = drive + self.gain * state.residual / neurons
        members, spikes = IntegrateAndFire(self.members).step(state.members, asked)
        residual = state.residual + neurons * drive - jnp.sum(spikes, axis=1)
        return LateState(members, residual), spikes


class Chance(NamedTuple):
    """What neurons that fire by chance carry."""

    key: PRNGKeyArray
    neurons: Float[Array, "states neurons"]  # ones; gives the shape of what is drawn


class Poisson(Firing):
    """Neurons that fire by chance, independently, with the probability asked in a time step.

    Source: the Bernoulli approximation of a Poisson process, exact in the limit of short steps.
    """

    key: PRNGKeyArray

    def init(self, states: int, neurons: int) -> Chance:
        """The key that the first step splits."""
        return Chance(self.key, jnp.ones((states, neurons)))

    def step(
        self, state: Chance, drive: Float[Array, " states"]
    ) -> tuple[Chance, Float[Array, "states neurons"]]:
        """Every neuron draws for itself."""
        key, now = jax.random.split(state.key)
        fired = jax.random.uniform(now, state.neurons.shape) < drive[:, None]
        return Chance(key, state.neurons), _float(fired)


class Rates(Firing):
    """The limit of infinitely many neurons: each `neuron` gives a graded count, `size` times it.

    Attributes:
        size: spikes that one unit of drive stands for, so many that a single one does not matter.
    """

    size: float = 1e9

    def init(self, states: int, neurons: int) -> Float[Array, "states neurons"]:
        """Ones; they give the shape of what is sent."""
        return jnp.ones((states, neurons))

    def step(
        self, state: Float[Array, "states neurons"], drive: Float[Array, " states"]
    ) -> tuple[Float[Array, "states neurons"], Float[Array, "states neurons"]]:
        """The drive itself, scaled."""
        return state, self.size * drive[:, None] * state


class Late(NamedTuple):
    """Spikes under way."""

    inner: Any  # state of the neurons that fire
    key: PRNGKeyArray
    arriving: Float[Array, "delays states neurons"]  # in this step, the next, ...


class Jittered(Firing):
    """Spikes that reach whoever reads them at times blurred by a Gaussian.

    The delay in steps is rounded from a Gaussian around three standard deviations, and cut off
    there on both sides. Lateral inhibition inside `firing` is not delayed.

    Attributes:
        firing: who fires.
        steps: standard deviation of the delay, in time steps.
        key: of the delays.
    """

    firing: Firing
    steps: float = eqx.field(static=True)
    key: PRNGKeyArray

    def __check_init__(self):
        if not self.steps > 0:
            raise ValueError(f"steps must be a positive number of time steps, got {self.steps}")

    @property
    def shares_residual(self) -> bool:
        """As those that fire."""
        return self.firing.shares_residual

    def init(self, states: int, neurons: int) -> Late:
        """Nothing under way."""
        line = jnp.zeros((2 * round(3 * self.steps) + 1, states, neurons))
        return Late(self.firing.init(states, neurons), self.key, line)

    def step(
        self, state: Late, drive: Float[Array, " states"]
    ) -> tuple[Late, Float[Array, "states neurons"]]:
        """Fire now; hear what arrives now. Two spikes of a neuron may arrive together."""
        key, now = jax.random.split(state.key)
        inner, spikes = self.firing.step(state.inner, drive)
        longest = state.arriving.shape[0] - 1
        delay = longest / 2 + self.steps * jax.random.normal(now, spikes.shape)
        delay = jnp.clip(jnp.round(delay), 0, longest)
        slots = jnp.arange(longest + 1, dtype=delay.dtype)[:, None, None]
        arriving = state.arriving + spikes[None] * (slots == delay[None])
        later = jnp.concatenate([arriving[1:], jnp.zeros_like(arriving[:1])])
        return Late(inner, key, later), arriving[0]


def _float(fired: Array) -> Float[Array, "states neurons"]:
    return fired.astype(jnp.result_type(float))
