"""The size of a food item from the light it reflects: Bogacz (2017), exercises 1 to 3.

Source: Bogacz (2017), A tutorial on the free-energy framework for modelling perception and
learning, J. Math. Psychol. 76, 198-211.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, GREEN, SKY, VERMILION, panels
from fep.free_energy import gaussian_energy

PAPER = "Bogacz (2017)"
Scalar = Float[Array, ""]


@dataclass(frozen=True)
class Config:
    """A noisy light intensity u is seen; the size v that caused it, through v^2, is inferred.

    Attributes:
        observation: light intensity u.
        prior_mean: size expected before anything is seen, v_p.
        prior_variance: of the size, Sigma_p.
        noise_variance: of the light intensity, Sigma_u.
        duration: of the dynamics, in the paper's unit of time.
        dt: Euler step of the dynamics.
    """

    observation: float = 2.0
    prior_mean: float = 3.0
    prior_variance: float = 1.0
    noise_variance: float = 1.0
    duration: float = 5.0
    dt: float = 0.01

    def __post_init__(self):
        for name in ("prior_variance", "noise_variance", "duration", "dt"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.duration > 1e6 * self.dt:
            raise ValueError(f"duration must be at most a million dt, got {self.duration}")


class Result(NamedTuple):
    """Float64 throughout: the paper's numbers are compared far below float32's rounding."""

    size: Float[Array, " grid"]  # v = 0.01, 0.02, ..., 5, the grid of exercise 1
    prior: Float[Array, " grid"]  # p(v)
    posterior: Float[Array, " grid"]  # p(v | u)
    evidence: Scalar  # p(u), summed on the grid
    time: Float[Array, " steps+1"]
    descent: Float[Array, " steps+1"]  # phi of exercise 2
    nodes: Float[Array, "steps+1 3"]  # phi, eps_p, eps_u of exercise 3


class Nodes(NamedTuple):
    """The network of exercise 3: the size and its two prediction errors."""

    size: Scalar
    prior_error: Scalar
    light_error: Scalar


def light(size: Scalar) -> Scalar:
    """Mean light intensity that an item of this size reflects, g(v) = v^2."""
    return size**2


def energy(config: Config, size: Scalar) -> Scalar:
    """Surprise of the size under the prior plus that of the light given the size, in nats."""
    terms = (
        (size, config.prior_mean, config.prior_variance),
        (config.observation, light(size), config.noise_variance),
    )
    return sum(
        gaussian_energy(*(jnp.reshape(a, 1) for a in (value, mean, -jnp.log(variance))))
        for value, mean, variance in terms
    )


def descend(config: Config, size: Scalar) -> Scalar:
    """Exercise 2: one Euler step of the size down the slope of its energy."""
    return size - config.dt * jax.grad(energy, argnums=1)(config, size)


def relax(config: Config, nodes: Nodes) -> Nodes:
    r"""Exercise 3: one Euler step of all three nodes, each driven by its neighbours alone.

    $\dot\phi = \varepsilon_u g'(\phi) - \varepsilon_p$,
    $\dot\varepsilon_p = \phi - v_p - \Sigma_p \varepsilon_p$ and
    $\dot\varepsilon_u = u - g(\phi) - \Sigma_u \varepsilon_u$: eqs. 12 to 14 of the paper.
    """
    predicted, pull_back = jax.vjp(light, nodes.size)
    slopes = Nodes(
        pull_back(nodes.light_error)[0] - nodes.prior_error,
        nodes.size - config.prior_mean - config.prior_variance * nodes.prior_error,
        config.observation - predicted - config.noise_variance * nodes.light_error,
    )
    return jax.tree.map(lambda x, slope: x + config.dt * slope, nodes, slopes)


def run(config: Config) -> Result:
    """All three exercises."""
    with jax.enable_x64(True):
        size = jnp.arange(1, 501) / 100
        joint = jnp.exp(-jax.vmap(lambda v: energy(config, v))(size))
        prior = jnp.exp(-0.5 * (size - config.prior_mean) ** 2 / config.prior_variance)
        prior /= jnp.sqrt(2 * jnp.pi * config.prior_variance)
        evidence = jnp.sum(joint) * 0.01
        start = jnp.asarray(config.prior_mean, jnp.float64)
        steps = round(config.duration / config.dt)
        descent = _course(lambda phi: descend(config, phi), start, steps)
        rest = Nodes(start, jnp.zeros_like(start), jnp.zeros_like(start))
        nodes = _course(lambda nodes: relax(config, nodes), rest, steps)
        time = jnp.arange(steps + 1) * config.dt
        nodes = jnp.stack(nodes, axis=1)
        result = Result(size, prior, joint / evidence, evidence, time, descent, nodes)
    return jax.tree.map(np.asarray, result)  # outside, jax would round float64 down


def _course(step, state, steps: int):
    """The start, and the states after each of `steps` steps, along a new leading axis."""
    _, states = jax.lax.scan(lambda s, _: (step(s), s), state, length=steps + 1)
    return states


def summary(config: Config, result: Result) -> list[Row]:
    """What the three exercises find."""
    phi, prior_error, light_error = result.nodes[-1]
    peak = result.size[np.argmax(result.posterior)]
    end = f"at time {config.duration:g}"
    return [
        Row("most likely size, on the grid", float(peak), source="exercise 1"),
        Row("evidence p(u)", float(result.evidence), source="exercise 1"),
        Row(f"size by descent {end}", float(result.descent[-1]), source="exercise 2"),
        Row(f"size node {end}", float(phi), source="exercise 3"),
        Row(f"prior error node {end}", float(prior_error), source="exercise 3"),
        Row(f"light error node {end}", float(light_error), source="exercise 3"),
    ]


def figure(result: Result):
    """Inferring the size of food from the light that it reflects.

    a, Prior and posterior over sizes. b, The size descends its free energy to the peak of the
    posterior (dashed). c, A network of a size node and two error nodes comes to the same peak.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=52)
    a.plot(result.size, result.prior, color=SKY, label="prior p(v)")
    a.plot(result.size, result.posterior, color=BLUE, label="posterior p(v | u)")
    a.set(xlabel="food size v", ylabel="probability density", ylim=(0, None))
    peak = result.size[np.argmax(result.posterior)]
    b.plot(result.time, result.descent, color=BLUE, label="$\\phi$")
    b.axhline(peak, color=BLACK, linewidth=0.5, linestyle="--")
    b.set(xlabel="time", ylabel="inferred size $\\phi$")
    names = "$\\phi$", "$\\varepsilon_p$", "$\\varepsilon_u$"
    colours = BLUE, VERMILION, GREEN
    for values, name, colour in zip(result.nodes.T, names, colours, strict=True):
        c.plot(result.time, values, color=colour, label=name)
    c.set(xlabel="time", ylabel="activity")
    for ax in (a, c):
        ax.legend()
    return drawing


def verify() -> list[Check]:
    """The paper prints one number, "phi = 1.6" after exercise 2; the others are found otherwise.

    Exact means that dF/dv = 0 is solved: 2 v^3 - 3 v - 3 = 0 has one real root. By quadrature
    means adaptive integration over v > 0. By NumPy means the Euler steps of eqs. 8 and 9, or 12 to
    14, written out by hand in float64.
    """
    result, settled = run(Config()), run(Config(duration=50.0))
    roots = np.roots([2, 0, -3, -3])
    peak = float(roots[np.isreal(roots)].real[0])
    phi = lambda time: float(result.descent[round(time / Config().dt)])
    on_grid = float(result.size[np.argmax(result.posterior)])
    evidence = float(result.evidence)
    mean = float(np.sum(result.size * result.posterior) * 0.01)
    first, second, third = (f"{PAPER}, exercise {i}" for i in (1, 2, 3))
    # the grid of exercise 1 has steps of 0.01 and ends at 5, where 1e-6 of p(u) is cut off
    rows = [
        Check(first, "peak of p(v | u); exact", peak, on_grid, 0.005),
        Check(first, "p(u); not printed, by quadrature", 0.0391882999, evidence, 2e-6),
        Check(first, "mean of p(v | u); not printed, by quadrature", 1.4847028, mean, 1e-4),
        Check(second, "phi at time 5; printed as 'about 1.6'", 1.6, phi(5), 0.05),
        Check(second, "phi at time 5; exact limit", peak, phi(5), 1e-9),
        Check(second, "phi at time 0.1; not printed, by NumPy", 1.7553528258508, phi(0.1), 1e-9),
        Check(second, "phi at time 0.5; not printed, by NumPy", 1.5685502951411, phi(0.5), 1e-9),
    ]
    names = "phi", "eps_p", "eps_u"
    by_numpy = 1.5524196415859, -1.4305063932883, -0.4416727746878
    for name, value, ours in zip(names, by_numpy, result.nodes[-1], strict=True):
        told = f"{name} at time 5; not printed, by NumPy"
        rows.append(Check(third, told, value, float(ours), 1e-9))
    limits = peak, peak - 3, 2 - peak**2
    for name, value, ours in zip(names, limits, settled.nodes[-1], strict=True):
        told = f"{name} at time 50; not printed, exact limit"
        rows.append(Check(third, told, value, float(ours), 1e-9))
    return rows
