"""Graphs of value nodes: orders, clamps, energies, and what a clamped node costs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.free_energy import gaussian_energy
from fep.predictive_coding.energies import (
    Bernoulli,
    Categorical,
    Flat,
    Gaussian,
    Huber,
    Laplace,
    LearnedGaussian,
    Student,
)
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import settle_batch
from fep.predictive_coding.network import (
    Dense,
    Edge,
    Node,
    PCNetwork,
    chain,
    identity,
    multilayer,
)


def dense(key, n_in, n_out, activation=jnp.tanh):
    weight = jax.random.normal(key, (n_out, n_in)) / n_in**0.5
    return Dense(weight, jnp.zeros(n_out), activation)


def diamond(key):
    """a -> b, a -> c, both -> d, given in an order that is no order of causes."""
    k = jax.random.split(key, 4)
    edges = (
        Edge("c", "d", dense(k[0], 3, 2)),
        Edge("a", "b", dense(k[1], 4, 3)),
        Edge("b", "d", dense(k[2], 3, 2)),
        Edge("a", "c", dense(k[3], 4, 3)),
    )
    return PCNetwork((Node("d"), Node("c"), Node("b"), Node("a", Flat())), edges, ("a", "d"))


def test_causes_come_before_effects_whatever_the_order_given():
    network = diamond(jax.random.key(0))
    names = [node.name for node in network.clamping().order]  # all free
    assert names.index("a") < min(names.index("b"), names.index("c"))
    assert names[-1] == "d"
    assert not network.cyclic


@pytest.mark.usefixtures("x64")
def test_the_energy_of_a_graph_is_the_sum_of_its_nodes_surprise():
    network = diamond(jax.random.key(0))
    kx, ky, kz = jax.random.split(jax.random.key(1), 3)
    x, y = jax.random.normal(kx, (4,)), jax.random.normal(ky, (2,))
    start = network.init(x, y)
    state = jax.tree.map(lambda z: z + jax.random.normal(kz, z.shape), start)
    c, b = state.activities  # in the order of nodes
    cd, ab, bd, ac = (edge.map for edge in network.edges)
    by_hand = sum(
        gaussian_energy(z, mu, jnp.zeros_like(z))
        for z, mu in ((b, ab(x)), (c, ac(x)), (y, bd(b) + cd(c)))
    )
    assert network.energy(state, x, y) == pytest.approx(float(by_hand), abs=1e-12)
    np.testing.assert_allclose(start.activities[1], ab(x))
    np.testing.assert_allclose(network.predict(x), bd(ab(x)) + cd(ac(x)))


@pytest.mark.usefixtures("x64")
def test_errors_and_states_are_two_names_of_one_point():
    network = diamond(jax.random.key(2))
    clamped = network.clamp(jnp.ones(4), jnp.zeros(2))
    state = jax.tree.map(lambda z: z + 0.3, clamped.init())
    back = clamped.decode(clamped.encode(state))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-15), back, state)
    costs = clamped.cost(state), clamped.error_cost(clamped.encode(state))
    assert costs[0] == pytest.approx(float(costs[1]), abs=1e-13)


def flops(function, *arguments):
    """Floating-point operations of the compiled function, by XLA's own count."""
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def test_clamped_nodes_cost_nothing():
    """A settle step of 784-300-300-10 costs what its free layers do: the input's 784 x 300
    product is made once, before the steps, and no gradient of input or label ever."""
    network, batch = multilayer((784, 300, 300, 10), jnp.tanh, key=jax.random.key(0)), 32
    x, y = jnp.zeros((batch, 784)), jnp.zeros((batch, 10))

    def settle(steps):
        solver = GradientFlow(0.1, steps)
        return flops(lambda x, y: settle_batch(solver, network, (x, y)).state, x, y)

    # XLA counts the body of a loop once, whatever its trip count
    inner = 2 * 2 * batch * (300 * 300 + 300 * 10)  # predictions, and errors sent back
    start = 2 * batch * (784 * 300 + 300 * 300)
    assert settle(20) <= 1.03 * (inner + start)  # 3 %: what is elementwise


def test_the_same_network_is_asked_other_questions_by_other_clamps():
    network = multilayer((3, 5, 2), jnp.tanh, key=jax.random.key(1))
    assert [n.name for n in network.clamping("2").free] == ["0", "1"]
    assert [n.name for n in network.clamping("0", "1", "2").free] == []
    with pytest.raises(ValueError, match="'0' has no cause that tells its shape"):
        network.clamping("2").init(jnp.zeros(2))


def test_a_cycle_is_seen_and_starts_at_rest():
    loop = Edge("a", "a", dense(jax.random.key(0), 3, 3))
    up = Edge("a", "y", dense(jax.random.key(1), 3, 2))
    network = PCNetwork((Node("a", shape=(3,)), Node("y")), (loop, up), ("y",))
    assert network.cyclic
    np.testing.assert_array_equal(network.init(jnp.ones(2)).activities[0], jnp.zeros(3))
    assert not network.clamping("a", "y").cyclic  # a clamped node is caused by nothing


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "energy",
    [
        Gaussian(0.3),
        LearnedGaussian(jnp.array([0.2, -1.0, 0.5])),
        Categorical(),
        Bernoulli(),
        Student(0.7),
    ],
    ids=lambda e: type(e).__name__,
)
def test_curvature_is_the_hessian_or_a_parabola_from_above(energy):
    value, mu = jnp.array([0.2, 0.5, 0.3]), jnp.array([0.3, -0.4, 1.1])
    tangent = jnp.array([1.0, -2.0, 0.5])
    hessian = jax.hessian(energy, argnums=1)(value, mu)
    ours = energy.curvature(value, mu, tangent)
    if isinstance(energy, Student):  # psi / eps, above the Hessian
        eps = value - mu
        np.testing.assert_allclose(ours, jax.grad(energy)(value, mu) / eps * tangent, atol=1e-12)
    else:
        np.testing.assert_allclose(ours, hessian @ tangent, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("energy", [Laplace(0.5), Huber(0.7), Student(1.0)], ids=str)
def test_a_robust_energy_lies_under_the_parabola_of_its_curvature(energy):
    """What makes reweighted steps descend, Huber & Ronchetti (2009), sec. 7.8."""
    zero = jnp.zeros(1)
    for at in (0.3, 2.0, -5.0):
        e = jnp.array([at])
        bow = energy.curvature(e, zero, jnp.ones(1))[0]
        for other in (-3.0, -0.1, 0.5, 4.0):
            parabola = energy(e, zero) + 0.5 * bow * (other**2 - at**2)
            assert energy(jnp.array([other]), zero) <= parabola + 1e-12


@pytest.mark.usefixtures("x64")
def test_normalised_energies_are_surprises_of_distributions():
    grid = jnp.linspace(-40, 40, 200_001)  # quadrature, step 4e-4
    for energy in (Gaussian(0.3), LearnedGaussian(jnp.array([0.7])), Laplace(0.5)):
        nats = jax.vmap(lambda z, f=energy: f(z[None], jnp.array([0.1])))(grid)
        assert jnp.sum(jnp.exp(-nats)) * 4e-4 == pytest.approx(1.0, abs=1e-6)
    logits = jnp.array([0.5, -1.0, 2.0])
    total = sum(jnp.exp(-Categorical()(one, logits)) for one in jnp.eye(3))
    assert total == pytest.approx(1.0, abs=1e-12)
    pair = sum(jnp.exp(-Bernoulli()(jnp.array([z]), logits[:1])) for z in (0.0, 1.0))
    assert pair == pytest.approx(1.0, abs=1e-12)


def test_any_module_may_sit_on_an_edge():
    """Convolution, pooling and a residual block in one chain."""
    k1, k2, k3 = jax.random.split(jax.random.key(3), 3)
    conv, pool = eqx.nn.Conv2d(1, 3, 3, padding=1, key=k1), eqx.nn.MaxPool2d(2, 2)
    mix, last = eqx.nn.Linear(48, 48, key=k2), eqx.nn.Linear(48, 2, key=k3)
    residual = lambda z: z.ravel() + mix(jnp.tanh(z.ravel()))
    network = chain((lambda x: pool(jnp.tanh(conv(x))), residual, last))
    settled = eqx.filter_jit(GradientFlow(0.1, 20))(network, jnp.ones((1, 8, 8)), jnp.ones(2))
    assert [z.shape for z in settled.state.activities] == [(3, 4, 4), (48,)]
    assert settled.energies[-1] < settled.energies[0]


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: PCNetwork((Node("a"), Node("a")), (), ()), "names must differ"),
        (lambda: PCNetwork((Node("a"),), (Edge("a", "b", identity),), ()), r"\['b'\]"),
        (lambda: PCNetwork((Node("a"),), (), ("c",)), r"\['c'\]"),
        (
            lambda: diamond(jax.random.key(0)).clamp(jnp.ones(4)),
            "1 values",
        ),
        (lambda: diamond(jax.random.key(0)).layers, "only a chain"),
        (lambda: Gaussian(0.0), "variance"),
        (lambda: Laplace(-1.0), "scale"),
        (lambda: Huber(0.0), "threshold"),
        (lambda: Student(0.0), "weight"),
    ],
)
def test_a_bad_graph_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
