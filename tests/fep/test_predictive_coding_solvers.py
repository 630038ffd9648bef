"""Every solver comes to the same equilibrium, stops when it is there, and never climbs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.predictive_coding.coordinates import errors
from fep.predictive_coding.energies import Categorical, Flat, Gaussian, Laplace, Student
from fep.predictive_coding.equilibrium import linear_equilibrium
from fep.predictive_coding.inference import (
    AmortisedStart,
    Descent,
    GaussSeidel,
    GradientFlow,
    gap_bound,
)
from fep.predictive_coding.learning import settle_batch
from fep.predictive_coding.loops import Scan, Until
from fep.predictive_coding.network import (
    Dense,
    Edge,
    Node,
    PCNetwork,
    PCState,
    chain,
    identity,
    multilayer,
)
from fep.predictive_coding.second_order import (
    BarzilaiBorwein,
    GaussNewton,
    GaussNewtonCG,
    NewtonCG,
)

LONG = Until(1e-9, 4000)  # root-mean-square slope; curvatures are about 1, so 1e-9 from the end
ON_STATES = {
    "gradient flow": GradientFlow(0.1, LONG),
    "momentum": Descent(optax.sgd(0.05, momentum=0.8), LONG),
    "Gauss-Seidel": GaussSeidel(0.3, LONG),
    "Newton-CG": NewtonCG(Until(1e-9, 100), inner=20),
}
ON_ERRORS = {
    "ePC": GradientFlow(0.1, LONG, errors),
    "Barzilai-Borwein": BarzilaiBorwein(LONG),
    "Gauss-Newton": GaussNewton(Until(1e-9, 200)),
    "Gauss-Newton by CG": GaussNewtonCG(Until(1e-9, 200), inner=10),
}


SHAPES = 3, 2, 3, 2, 3


def random_graph(weights, *, cycles=False):
    """Five nodes, a clamped cause and a clamped effect, and an edge for each weight.

    An edge that is not there has weights of zero, so that all graphs are one program.
    """
    edges = tuple(
        Edge(str(i), str(j), Dense(weights[i, j], jnp.zeros(SHAPES[j]), jnp.tanh))
        for i, j in pairs(cycles)
    )
    nodes = tuple(Node(str(i), Gaussian(0.5 + 0.2 * i), shape=(n,)) for i, n in enumerate(SHAPES))
    return PCNetwork(nodes, edges, ("0", "4"))


def pairs(cycles):
    return [(i, j) for i in range(5) for j in range(1, 5) if i < j or cycles]


def random_weights(number, *, cycles=False):
    """Of so many graphs, along a leading axis: beyond the chain a coin decides on each edge."""
    generator = np.random.default_rng(0)  # numpy's, which nothing has to compile
    weights = {}
    for i, j in pairs(True):
        there = (generator.random((number, 1, 1)) < 0.5) | (j == i + 1)
        drawn = generator.normal(size=(number, SHAPES[j], SHAPES[i])) / SHAPES[i] ** 0.5
        weights[i, j] = jnp.asarray(0.5 * there * drawn if i < j or cycles else 0 * drawn)
    return weights


def one_graph(**settings):
    return random_graph(jax.tree.map(lambda w: w[0], random_weights(1, **settings)), **settings)


def sample(network, seed=1):
    shapes = {node.name: node.shape for node in network.nodes}
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=shapes[name])) for name in network.clamped]


def settled_by_all(solvers, weights, *, cycles=False):
    """What each solver makes of random graphs, each with a sample of its own."""
    number = len(weights[0, 1])

    @jax.jit
    @jax.vmap
    def settle(weights, *values):
        network = random_graph(weights, cycles=cycles)
        return {name: solver(network, *values) for name, solver in solvers.items()}

    values = np.random.default_rng(1).normal(size=(number, 2, 3))  # the first ones alike
    return settle(weights, *jnp.asarray(values).swapaxes(0, 1))


def agree(found, goal, atol):
    assert float(goal.residual.max()) <= 1e-9
    for name, settled in found.items():
        for a, b in zip(settled.state.activities, goal.state.activities, strict=True):
            np.testing.assert_allclose(a, b, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def on_states():
    """Twenty acyclic graphs, then ten cyclic ones: one program, in which weights may be zero."""
    with jax.enable_x64(True):
        both = random_weights(20), random_weights(10, cycles=True)
        weights = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *both)
        return settled_by_all(ON_STATES, weights, cycles=True)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_all_solvers_agree_on_twenty_random_acyclic_graphs(on_states):
    found = settled_by_all(ON_ERRORS, random_weights(20))
    goal = found["Gauss-Newton"]
    agree(found, goal, 1e-6)
    agree(jax.tree.map(lambda a: a[:20], on_states), goal, 1e-6)
    assert all(float(settled.gap_bound.max()) < 1e-10 for settled in found.values())


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_solvers_on_states_agree_on_ten_cyclic_graphs(on_states):
    found = jax.tree.map(lambda a: a[20:], on_states)
    agree(found, found["gradient flow"], 1e-6)
    assert (found["Newton-CG"].gap_bound == jnp.inf).all()  # none is claimed where there is none


def test_error_coordinates_refuse_a_cycle():
    network = one_graph(cycles=True)
    assert network.cyclic
    with pytest.raises(ValueError, match="without cycles"):
        GaussNewton(1)(network, *sample(network))


@pytest.mark.usefixtures("x64")
def test_one_gauss_newton_step_solves_a_linear_graph_exactly():
    graph = one_graph()
    linear = PCNetwork(
        graph.nodes,
        tuple(
            Edge(e.source, e.target, Dense(e.map.weight, e.map.bias + 0.3, identity))
            for e in graph.edges
        ),
        ("0", "3", "4"),  # one clamped in the middle: an effect and a cause
    )

    @jax.jit
    def settle(network, *values):
        solvers = GaussNewton(1), GaussNewtonCG(1, inner=8, tolerance=1e-14)
        states = [solver(network, *values).state for solver in solvers]
        return states, linear_equilibrium(network, *values)

    states, exact = settle(linear, *sample(linear))
    for state in states:
        for a, b in zip(state.activities, exact.activities, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)  # float64 rounding


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("output", [Categorical(), Gaussian(0.1)], ids=str)
def test_solvers_agree_on_a_classifier_with_a_sparse_hidden_prior(output):
    body = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(5)).layers
    network = PCNetwork(
        (Node("x", Flat()), Node("h", Student(2.0)), Node("y", output)),
        (Edge("x", "h", body[0]), Edge("h", "y", body[1])),
        ("x", "y"),
    )
    values = jax.random.normal(jax.random.key(6), (4,)), jnp.eye(3)[1]

    @jax.jit
    def settle(network, *values):
        loop = Until(1e-9, 200)
        solvers = GradientFlow(0.05, LONG), GaussNewton(loop), GaussNewtonCG(loop, inner=20)
        return [solver(network, *values).state.activities[0] for solver in solvers]

    goal, *found = settle(network, *values)
    for settled in found:
        np.testing.assert_allclose(settled, goal, atol=1e-6)


DEEP = multilayer((6, *[16] * 6, 3), jnp.tanh, key=jax.random.key(7))
# weights well beyond what keeps fixed rates stable, as training by predictive coding leaves them
STEEP = jax.tree.map(lambda w: 2.5 * w, DEEP)


@pytest.mark.parametrize(
    "solver",
    [
        *(pytest.param(s, marks=pytest.mark.slow) for s in (GaussNewton(8), GaussNewtonCG(8))),
        *(BarzilaiBorwein(30), NewtonCG(8)),
    ],
)
@pytest.mark.parametrize(
    "network", [pytest.param(DEEP, marks=pytest.mark.slow), STEEP], ids=["deep", "steep"]
)
def test_a_safeguarded_solver_never_climbs(solver, network):
    x = jax.random.normal(jax.random.key(8), (32, 6))
    y = jax.nn.one_hot(jnp.arange(32) % 3, 3)
    energies = eqx.filter_jit(settle_batch)(solver, network, (x, y)).energies
    assert (jnp.diff(energies, axis=1) <= 1e-4).all()  # float32 rounding of about 100 nats
    assert (energies[:, -1] < energies[:, 0]).all()


class PlainBarzilaiBorwein(BarzilaiBorwein):
    """Without its safeguard, as it was first tried: a step is kept even if the energy rose."""

    def update(self, clamped, chart, point, memory, measured):
        memory = memory._replace(measured=memory.measured._replace(energy=jnp.inf))
        return super().update(clamped, chart, point, memory, measured)

    def finish(self, ran):
        return ran


@pytest.mark.slow
def test_plain_barzilai_borwein_and_fixed_rates_climb_where_the_safeguarded_one_settles():
    x = jax.random.normal(jax.random.key(8), (32, 6))
    y = jax.nn.one_hot(jnp.arange(32) % 3, 3)
    run = lambda solver: eqx.filter_jit(settle_batch)(solver, STEEP, (x, y)).energies
    safe = run(BarzilaiBorwein(30))
    for solver in (PlainBarzilaiBorwein(30), GradientFlow(0.3, 30, errors)):
        energies = run(solver)
        assert jnp.diff(energies, axis=1).max() > 0.1  # nats, in a sample's single step
        assert energies[:, -1].mean() > safe[:, -1].mean()


@pytest.mark.parametrize(
    "solver",
    [
        pytest.param(GaussNewton(Until(1e-3, 50)), marks=pytest.mark.slow),
        BarzilaiBorwein(Until(1e-3, 50)),
    ],
    ids=["GN", "BB"],
)
def test_a_residual_stops_where_jpc_s_event_never_fires(solver):
    """JPC tests the norm of the state, not of its slope: its own case runs into the timeout."""
    network = multilayer((20, 30, 30, 5), jnp.tanh, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 20))
    y = jax.nn.one_hot(jnp.arange(16) % 5, 5)
    settled = eqx.filter_jit(settle_batch)(solver, network, (x, y))
    assert int(settled.steps.max()) <= 15
    assert float(settled.residual.max()) <= 1e-3
    assert len({int(n) for n in settled.steps}) > 1  # each sample by itself


def test_a_sample_stops_alike_alone_and_among_others():
    network = multilayer((6, 16, 3), jnp.tanh, key=jax.random.key(9))
    x, y = jax.random.normal(jax.random.key(10), (256, 6)), jax.nn.one_hot(jnp.arange(256) % 3, 3)
    solver = BarzilaiBorwein(Until(1e-4, 60))
    together = eqx.filter_jit(settle_batch)(solver, network, (x, y))
    alone = eqx.filter_jit(settle_batch)(solver, network, (x[5:6], y[5:6]))
    assert together.steps[5] == alone.steps[0]
    np.testing.assert_allclose(  # float32: sums in another order
        together.energies[5], alone.energies[0], rtol=1e-5
    )
    assert (together.energies[5, int(together.steps[5]) :] == together.energies[5, -1]).all()


@pytest.mark.usefixtures("x64")
def test_the_gap_bound_bounds_the_gap():
    network = multilayer((4, 6, 6, 3), identity, key=jax.random.key(11))
    x, y = jnp.ones(4), jnp.zeros(3)

    @jax.jit
    def gaps(rates):
        star = linear_equilibrium(network, x, y)
        descend = lambda rate: GradientFlow(rate, 4)(network, x, y)
        settled = jax.vmap(descend)(rates)
        gap = settled.energies[:, -1] - network.energy(star, x, y)
        return gap, settled.gap_bound, gap_bound(network.clamp(x, y), star)

    gap, bound, exact = gaps(jnp.array([0.01, 0.05, 0.1, 0.2, 0.4]))
    assert (gap > 0).all()
    assert (gap <= bound).all()
    assert exact < 1e-20


@pytest.mark.slow
def test_unrolling_and_rematerialising_change_nothing_but_the_program():
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(12))
    loops = Scan(7), Scan(7, unroll=7), Scan(7, keep=jax.checkpoint)

    def loss(network, loop):
        settled = GradientFlow(0.1, loop)(network, jnp.ones(4), jnp.zeros(3))
        return jnp.sum(settled.state.activities[0] ** 2)

    slopes = [jax.jit(jax.grad(lambda n, loop=loop: loss(n, loop)))(network) for loop in loops]
    for other in slopes[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), slopes[0], other)


def test_a_good_guess_saves_steps():
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(13))
    x, y = jnp.ones(4), jnp.zeros(3)
    patient = GradientFlow(0.1, Until(1e-4, 500))
    cold = eqx.filter_jit(patient)(network, x, y)
    warm = eqx.filter_jit(AmortisedStart(lambda x, y: cold.state, patient))(network, x, y)
    assert int(warm.steps) == 0 < int(cold.steps)


def test_a_latent_cause_is_inferred_from_its_effect_alone():
    """Sparse coding: a latent under a Laplace prior explains an image; most units stay silent."""
    atoms = jax.random.normal(jax.random.key(14), (20, 30)) / 20**0.5
    nodes = Node("code", Laplace(0.2), shape=(30,)), Node("image", Gaussian(0.01))
    network = PCNetwork(
        nodes, (Edge("code", "image", Dense(atoms, jnp.zeros(20), identity)),), ("image",)
    )
    image = atoms[:, 3] - atoms[:, 8]
    settled = eqx.filter_jit(GaussNewton(30))(network, image)
    code = np.asarray(settled.state.activities[0])
    assert set(np.argsort(-abs(code))[:2]) == {3, 8}
    assert (abs(code) < 1e-2).sum() >= 24
    assert settled.energies[-1] < settled.energies[0]


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Scan(0), "steps"),
        (lambda: Scan(1, unroll=0), "unroll"),
        (lambda: Until(0.0, 5), "tolerance"),
        (lambda: Until(1e-3, 0), "limit"),
        (lambda: GaussSeidel(0.0, 5), "rate"),
        (lambda: GaussSeidel(0.1, 5, errors), "coordinates"),
        (lambda: BarzilaiBorwein(5, least=0.5), "rates"),
        (lambda: GaussNewton(1, coordinates=lambda c, s: None), "coordinates"),
        (lambda: GaussNewtonCG(1, inner=0), "inner"),
        (lambda: NewtonCG(1, inner=0), "inner"),
    ],
)
def test_a_bad_solver_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()


def test_gauss_newton_refuses_a_flat_prior_and_its_cg_form_settles_it():
    edge = Edge("cause", "y", Dense(jnp.eye(3)[:2], jnp.zeros(2), identity))
    network = PCNetwork((Node("cause", Flat(), shape=(3,)), Node("y")), (edge,), ("y",))
    with pytest.raises(ValueError, match="'cause' has a flat prior"):
        GaussNewton(1)(network, jnp.ones(2))
    settled = eqx.filter_jit(GaussNewtonCG(2))(network, jnp.ones(2))
    np.testing.assert_allclose(settled.state.activities[0], [1, 1, 0], atol=1e-5)


def test_a_categorical_hidden_node_has_no_error_coordinate():
    layers = multilayer((2, 3, 2), jnp.tanh, key=jax.random.key(0)).layers
    network = PCNetwork(
        (Node("0", Flat()), Node("1", Categorical()), Node("2")),
        (Edge("0", "1", layers[0]), Edge("1", "2", layers[1])),
        ("0", "2"),
    )
    with pytest.raises(ValueError, match="'1': Categorical"):
        BarzilaiBorwein(3)(network, jnp.ones(2), jnp.ones(2))


def test_chain_state_is_a_tuple_of_hidden_values():
    network = chain(multilayer((2, 3, 2), jnp.tanh, key=jax.random.key(0)).layers)
    assert isinstance(network.init(jnp.ones(2), jnp.ones(2)), PCState)


@pytest.mark.parametrize(
    "solver", [BarzilaiBorwein(2), GaussNewton(2), GaussNewtonCG(2), NewtonCG(2)]
)
def test_a_layer_without_hidden_values_has_nothing_to_infer(solver):
    network = multilayer((3, 2), jnp.tanh, key=jax.random.key(0))
    settled = solver(network, jnp.ones(3), jnp.zeros(2))
    energy = network.energy(PCState(()), jnp.ones(3), jnp.zeros(2))
    np.testing.assert_allclose(settled.energies, energy, rtol=1e-6)
    assert settled.residual == 0
