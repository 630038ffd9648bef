"""Training against a joule budget: digits by spikes, judged by the ledger of an emulated Loihi."""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import digits
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from hw.chip_neurons import LoihiCuba
from hw.cost import event_energy, price, totals
from hw.datasheets import LOIHI1
from hw.emulate import Cores
from hw.events import Activity, Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Placement, index_order, tiles
from hw.quantise import least_error, loihi
from snn.surrogate import SuperSpike

SIZES = (64, 64, 10)
LEAK = 512  # of 4096, lost by a membrane each step
NEVER = 131_071  # the highest threshold: the output layer only adds up
BITS = (8, 6, 4, 3, 2, 1)
FIRE = SuperSpike(10.0)
TERMS = ("soma_access", "neuron_update", "synaptic_event", "axon_out")


@dataclass(frozen=True)
class Config:
    """A spiking network learns digits while the expected joules of its events are held to a budget.

    Attributes:
        seed: of weights and order of samples.
        budgets: networks trained, the first without one.
        lowest, highest: nanojoules a digit for events, between which budgets are spaced evenly in
            their logarithms.
        steps: of a digit's presentation.
        epochs: passes through the training digits.
        batch: samples an update.
        rate: peak of Adam's learning rate.
        penalty: nats for twice the budget.
    """

    seed: int = 0
    budgets: int = 7
    lowest: float = 130.0
    highest: float = 400.0
    steps: int = 16
    epochs: int = 20
    batch: int = 64
    rate: float = 5e-3
    penalty: float = 20.0

    def __post_init__(self):
        for name in ("budgets", "steps", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "penalty", "lowest", "highest"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.lowest > self.highest:
            raise ValueError(f"lowest must not exceed highest, got {self.lowest}, {self.highest}")


class Network(eqx.Module):
    """Pixels as spike trains, one hidden layer of leaky neurons, an output that adds up."""

    gain: Float[Array, " pixels"]  # a tenth of the logit of how much of a pixel is sent
    first: Float[Array, "hidden pixels"]
    bias: Float[Array, " hidden"]
    second: Float[Array, "out hidden"]

    def __call__(self, pixels: Float[Array, " pixels"], steps: int):
        """Output potentials, and spikes of pixels and hidden neurons, shape (steps, ...)."""
        drive = pixels * jax.nn.sigmoid(10 * self.gain)

        def step(state, _):
            charge, v, out, sent, fired = state
            out = out + self.second @ fired  # spikes are heard one step later, as on the cores
            v = (1 - LEAK / 4096) * v + self.first @ sent + self.bias
            fired = FIRE(v - 1.0)
            v = v * (1 - jax.lax.stop_gradient(fired))
            charge = charge + drive
            sent = (charge >= 1.0).astype(charge.dtype)
            charge = charge - sent
            # spikes follow the drive one to one, and so does their gradient
            sent = drive + jax.lax.stop_gradient(sent - drive)
            return (charge, v, out, sent, fired), (sent, fired)

        zero = jnp.zeros_like
        start = zero(drive), zero(self.bias), jnp.zeros(SIZES[2]), zero(drive), zero(self.bias)
        (*_, out, _, _), spikes = jax.lax.scan(step, start, length=steps + 2)
        return out, spikes


class Result(NamedTuple):
    """One row a budget; joules are of events a digit, by the emulated chip's own ledger."""

    budget_j: Float[np.ndarray, " budgets"]
    expected_j: Float[np.ndarray, " budgets"]  # what the loss believed, on training digits
    joules: Float[np.ndarray, " budgets"]  # what the chip did, on test digits
    terms_j: Float[np.ndarray, "budgets terms"]
    static_j: Float[np.ndarray, " budgets"]  # static power while it ran, in no budget
    float_accuracy: Float[np.ndarray, " budgets"]
    chip_accuracy: Float[np.ndarray, " budgets"]  # 9-bit weights, integer neurons
    bits_accuracy: Float[np.ndarray, "budgets bits"]  # floats, with weights of BITS bits


def run(config: Config) -> Result:
    """Train one network a budget, all side by side, and let the emulated chip judge each."""
    graph = _graph(*(np.zeros((b, a)) for a, b in zip(SIZES, SIZES[1:], strict=False)))
    placement = index_order(graph, LOIHI1)
    counter = Counter(graph, placement, LOIHI1.mesh)
    budgets = _budgets(config)
    networks, expected = _train(config, counter, budgets)
    rows = []
    for i, budget in enumerate(budgets):
        network = jax.tree.map(lambda a, i=i: a[i], networks)
        rows.append((budget, float(expected[i]), *_judge(config, network, placement)))
    return Result(*(np.array(column) for column in zip(*rows, strict=True)))


def _budgets(config: Config) -> Float[np.ndarray, " budgets"]:
    """Joules a digit; the first is out of reach."""
    rest = np.geomspace(config.highest, config.lowest, config.budgets - 1)
    return np.array([1e6, *rest]) * 1e-9


def _train(
    config: Config, counter: Counter, budgets: Float[np.ndarray, " budgets"]
) -> tuple[Network, Float[Array, " budgets"]]:
    train = digits().train
    inputs, labels = jnp.asarray(train.inputs), jnp.asarray(train.labels)
    batches = len(inputs) // config.batch
    schedule = optax.cosine_decay_schedule(config.rate, config.epochs * batches)
    adam = optax.adam(schedule)
    key, start = jax.random.split(jax.random.key(config.seed))

    def joules(spikes):
        """Expected joules of a presentation: the counter is linear, so that time sums first."""
        sent, fired = (jnp.sum(s, axis=0) for s in spikes)
        total = jnp.concatenate([sent, fired, jnp.zeros(SIZES[2])])
        visits = jnp.full(total.shape, float(len(spikes[0])))  # all that is visited is updated
        ledger = counter(Activity(total, visits))
        return event_energy(ledger._replace(soma_access=ledger.soma_access * visits[0]), LOIHI1)

    def loss(network, rows, budget):
        out, spikes = jax.vmap(lambda x: network(x, config.steps))(inputs[rows])
        nats = optax.softmax_cross_entropy_with_integer_labels(out, labels[rows]).mean()
        spent = jax.vmap(joules)(spikes).mean()
        return nats + config.penalty * jax.nn.relu(spent / budget - 1), spent

    def learn(budget):
        network = _fresh(start)

        def update(carry, rows):
            network, state = carry
            slope, spent = jax.grad(loss, has_aux=True)(network, rows, budget)
            change, state = adam.update(slope, state)
            return (optax.apply_updates(network, change), state), spent

        orders = jax.vmap(lambda k: jax.random.permutation(k, len(inputs)))(
            jax.random.split(key, config.epochs)
        )[:, : batches * config.batch]
        rows = orders.reshape(-1, config.batch)
        (network, _), spent = jax.lax.scan(update, (network, adam.init(network)), rows)
        return network, spent[-batches:].mean()

    return jax.jit(jax.vmap(learn))(jnp.asarray(budgets))


def _fresh(key: Array) -> Network:
    a, b = jax.random.split(key)
    first = jax.random.normal(a, (SIZES[1], SIZES[0])) * 0.15
    second = jax.random.normal(b, (SIZES[2], SIZES[1])) * 0.1
    return Network(jnp.full(SIZES[0], 0.3), first, jnp.zeros(SIZES[1]), second)


def _judge(config: Config, network: Network, placement: Placement) -> tuple:
    test = digits().test
    inputs = jnp.asarray(test.inputs)
    decide = jax.jit(jax.vmap(lambda n, x: n(x, config.steps), in_axes=(None, 0)))
    out, (sent, _) = decide(network, inputs)
    share = lambda out: float(np.mean(np.argmax(np.asarray(out), axis=1) == test.labels))
    by_bits = [share(decide(_rounded(network, bits), inputs)[0]) for bits in BITS]
    cores = _cores(network)
    driven = (
        jnp.zeros((*sent.shape[:2], sum(SIZES)), jnp.int32)
        .at[..., : SIZES[0]]
        .set(sent.astype(jnp.int32))
    )
    present = jax.vmap(lambda d: jax.lax.scan(lambda s, x: cores.step(s, x), cores.init(), d))
    state, did = jax.jit(present)(driven)
    graph = _graph(np.asarray(network.first), np.asarray(network.second))
    did = Activity(*(np.asarray(a).reshape(-1, graph.size) for a in did))
    ledger = tally(Counter(graph, placement, LOIHI1.mesh), did)
    seconds = LOIHI1.clock.seconds(ledger, tiles(LOIHI1.mesh, placement)).sum()
    bill = price(totals(ledger), LOIHI1, duration_s=float(seconds))
    joules = {item.term: item.joules / len(inputs) for item in bill.items}
    static = joules.pop("static")
    terms = [joules[term] for term in TERMS]
    chip = share(state.neurons.v[:, -SIZES[2] :])
    return sum(joules.values()), terms, static, share(out), chip, by_bits


def _graph(first: np.ndarray, second: np.ndarray) -> Graph:
    nodes = tuple(
        Node(name, size, external=name == "pixels")
        for name, size in zip(("pixels", "hidden", "digit"), SIZES, strict=True)
    )
    full = lambda source, target, weight: Edge(
        source, target, *(a.ravel() for a in np.indices(weight.shape)[::-1]), weight.ravel()
    )
    return Graph(nodes, (full("pixels", "hidden", first), full("hidden", "digit", second)))


def _cores(network: Network) -> Cores:
    """The network in Loihi's integers: each layer in units of its own mantissa."""
    first, second = (np.asarray(w, float) for w in (network.first, network.second))
    layers = loihi(first.ravel()), loihi(second.ravel())
    units = [np.zeros(SIZES[0]), np.full(SIZES[1], 1 / layers[0].step), np.full(SIZES[2], NEVER)]
    mantissa = np.clip(np.rint(np.concatenate(units)), 0, NEVER).astype(np.int32)
    bias = np.zeros(sum(SIZES), np.int32)
    bias[SIZES[0] : -SIZES[2]] = np.rint(np.asarray(network.bias) / layers[0].step * 64)
    leak = np.repeat([0, LEAK, 0], SIZES).astype(np.int32)
    neuron = LoihiCuba(np.full(leak.shape, 4096, np.int32), leak, mantissa, bias)
    return Cores(_graph(first, second), neuron, np.concatenate([la.values for la in layers]))


def _rounded(network: Network, bits: int) -> Network:
    near = lambda w: jnp.asarray(least_error(np.asarray(w, float), bits).weights, w.dtype)
    pair = lambda n: (n.first, n.second)
    return eqx.tree_at(pair, network, tuple(near(w) for w in pair(network)))


def summary(config: Config, result: Result) -> list[Row]:
    """The frontier, row by row."""
    told = "emulated Loihi 1: 9-bit weights, integer neurons; events, Davies et al. (2018)"
    rows = []
    for i, budget in enumerate(result.budget_j):
        label = f"budget {budget * 1e9:.0f} nJ" if i else "no budget"
        rows += [
            Row(f"{label}: events of a digit", float(result.joules[i]), "J", told),
            Row(f"{label}: accuracy on the chip", float(result.chip_accuracy[i]), "", told),
            Row(f"{label}: accuracy in floats", float(result.float_accuracy[i])),
        ]
    rows.append(Row("static power meanwhile, in no budget", float(result.static_j[0]), "J"))
    return rows


def figure(result: Result):
    """Training against a joule budget, judged by the emulated chip.

    a, Accuracy against the energy of a digit's events, one network a budget; dashed, budgets. b,
    What the events cost, by kind. c, Accuracy of three of the networks with weights of fewer bits.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=58)
    nano = result.joules * 1e9
    order = np.argsort(nano)
    a.plot(nano[order], result.chip_accuracy[order], "o-", color=BLUE, label="emulated chip")
    a.plot(nano[order], result.float_accuracy[order], "s", color=ORANGE, label="floats", ms=2)
    for budget in result.budget_j[1:] * 1e9:
        a.axvline(budget, color=BLACK, linewidth=0.3, linestyle="--")
    a.set(
        xlabel="energy of events (nJ per digit)",
        ylabel="test accuracy",
    )
    a.legend(loc="lower right")
    names = "visits", "updates", "synaptic events", "messages"
    bottom, place = np.zeros(len(nano)), np.arange(len(nano))
    for term, name, colour in zip(
        result.terms_j.T, names, (SKY, GREEN, VERMILION, BLACK), strict=True
    ):
        b.bar(place, term * 1e9, bottom=bottom, color=colour, label=name, width=0.7)
        bottom += term * 1e9
    told = ["none", *(f"{x * 1e9:.0f}" for x in result.budget_j[1:])]
    b.set_xticks(place, told)
    b.set(xlabel="budget (nJ)", ylabel="energy of events (nJ)", ylim=(0, 1.35 * bottom.max()))
    b.legend(ncols=2)
    for i, colour in zip((0, len(nano) // 2, len(nano) - 1), (BLUE, GREEN, VERMILION), strict=True):
        label = f"budget {told[i]}" + ("" if i == 0 else " nJ")
        c.plot(BITS, result.bits_accuracy[i], "o-", color=colour, label=label)
    c.set(xlabel="bits of a weight", ylabel="test accuracy", ylim=(0, 1))
    c.legend(loc="lower right")
    return drawing
