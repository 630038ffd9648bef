"""Time with queues: messages wait for the sender, the mesh and the receiver, in a fixed order.

The simple clock of a platform lets a core's two sides run free and takes the slower. Here a message
leaves when its neuron has been served, travels hop by hop, and is taken in when the receiver is
free. The order is by time, then by sender, so that equal runs give equal times.
"""

import heapq
from typing import NamedTuple

import numpy as np

from hw.events import Activity
from hw.graph import Graph
from hw.ledger import Ledger
from hw.mapping import Placement, axons, position, tiles
from hw.platforms import Constant, Platform, Serial


class Hops(NamedTuple):
    """Seconds of one hop along x and along y."""

    along_x: Constant
    along_y: Constant


def queued_seconds(
    graph: Graph, placement: Placement, platform: Platform, hops: Hops, did: Activity
) -> np.ndarray:
    """Duration of each step, shape (steps,), when messages queue at their receivers.

    Per step: cores serve their neurons in order of index, each for access, update and spike, and
    then send its messages one by one in order of core. A message arrives after its hops, and its
    receiver takes it in after those that arrived before; the step ends with the last service and
    the barrier. The mesh itself never blocks.

    Args:
        graph: what is mapped.
        placement: onto cores.
        platform: with a `Serial` clock, whose latencies are used.
        hops: of the mesh.
        did: boolean or integer activity, shape (steps, n).

    Raises:
        ValueError: for a platform with another clock.
    """
    clock = platform.clock
    if not isinstance(clock, Serial) or platform.mesh is None:
        raise ValueError(f"{platform.name} has no serial clock on a mesh")
    each = lambda side, kind: side[kind].value if kind in side else 0.0
    send = {k: each(clock.send, k) for k in ("soma_access", "neuron_update", "spike", "axon_out")}
    receive = {k: each(clock.receive, k) for k in ("axon_in", "synaptic_event")}
    placed, core_of = axons(graph, placement), placement.core_of
    x, y = position(platform.mesh, np.arange(placement.cores))
    starts = np.searchsorted(placed.source, np.arange(graph.size + 1))
    travel = lambda a, b: (
        abs(int(x[a]) - int(x[b])) * hops.along_x.value
        + abs(int(y[a]) - int(y[b])) * hops.along_y.value
    )
    barrier_s = clock.seconds(_nothing(placement.cores), tiles(platform.mesh, placement))[0]
    durations = np.zeros(len(did.spikes))
    for step, (spikes, active) in enumerate(zip(*map(np.asarray, did), strict=True)):
        now, mail = np.zeros(placement.cores), []
        for neuron in np.argsort(core_of, kind="stable"):
            core = core_of[neuron]
            if core < 0:
                if spikes[neuron]:  # from the host: there at once
                    rows = range(starts[neuron], starts[neuron + 1])
                    mail += [(0.0, -1, int(placed.core[r]), int(placed.synapses[r])) for r in rows]
                continue
            now[core] += send["soma_access"] + send["neuron_update"] * bool(active[neuron])
            if spikes[neuron]:
                now[core] += send["spike"]
                for row in range(starts[neuron], starts[neuron + 1]):
                    now[core] += send["axon_out"]
                    target = int(placed.core[row])
                    arrival = float(now[core]) + travel(core, target)
                    mail.append((arrival, int(core), target, int(placed.synapses[row])))
        heapq.heapify(mail)
        free = np.zeros(placement.cores)
        while mail:
            arrival, _, target, synapses = heapq.heappop(mail)
            service = receive["axon_in"] + synapses * receive["synaptic_event"]
            free[target] = max(free[target], arrival) + service
        durations[step] = max(now.max(initial=0), free.max(initial=0)) + barrier_s
    return durations


def _nothing(cores: int) -> Ledger:
    return Ledger(*np.zeros((len(Ledger._fields), 1, max(cores, 1)), int))
