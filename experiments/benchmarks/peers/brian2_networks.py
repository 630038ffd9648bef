"""Brian2's side of spiking_networks: C++ standalone, one thread, 0.1 ms."""

import json
import resource
import sys
import tempfile

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, mV, second

KIND = sys.argv[1]
SECONDS, SETTLED = 1.0, 0.1


def used():
    """CPU seconds of children, which do the simulation."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def build():
    """The network, and its spikes."""
    if KIND == "brunel":
        model = "dv/dt = -v/(20*ms) : volt (unless refractory)"
        group = b2.NeuronGroup(
            12_500,
            model,
            threshold="v > 20*mV",
            reset="v = 10*mV",
            refractory=2 * ms,
            method="exact",
        )
        group.v = "rand()*20*mV"
        drive = b2.PoissonInput(group, "v", 1000, 20 * Hz, weight=0.1 * mV)
        excite = b2.Synapses(group[:10_000], group, on_pre="v += 0.1*mV", delay=1.5 * ms)
        excite.connect(p=0.1)
        inhibit = b2.Synapses(group[10_000:], group, on_pre="v -= 0.5*mV", delay=1.5 * ms)
        inhibit.connect(p=0.1)
    else:
        if KIND == "coba":
            model = """dv/dt = (ge*(0*mV-v) + gi*(-80*mV-v) + (-60*mV-v) + 20*mV)/(20*ms)
                           : volt (unless refractory)
                       dge/dt = -ge/(5*ms) : 1
                       dgi/dt = -gi/(10*ms) : 1"""
            weights, method = ("ge += 0.6", "gi += 6.7"), "exponential_euler"
        else:
            model = """dv/dt = (ge + gi + (-49*mV-v))/(20*ms) : volt (unless refractory)
                       dge/dt = -ge/(5*ms) : volt
                       dgi/dt = -gi/(10*ms) : volt"""
            weights, method = ("ge += 1.62*mV", "gi -= 9*mV"), "exact"
        group = b2.NeuronGroup(
            4_000,
            model,
            threshold="v > -50*mV",
            reset="v = -60*mV",
            refractory=5 * ms,
            method=method,
        )
        group.v = "-55*mV + 2*randn()*mV"
        excite = b2.Synapses(group[:3_200], group, on_pre=weights[0])
        excite.connect(p=0.02)
        inhibit = b2.Synapses(group[3_200:], group, on_pre=weights[1])
        inhibit.connect(p=0.02)
        drive = None
    spikes = b2.SpikeMonitor(group)
    parts = [part for part in (group, drive, excite, inhibit, spikes) if part is not None]
    return b2.Network(*parts), spikes, group.N


def made(seconds, folder):
    """A compiled run of so many seconds."""
    b2.device.reinit()
    b2.device.activate(build_on_run=False, directory=folder)
    b2.defaultclock.dt = 0.1 * ms
    b2.seed(7)
    network, spikes, size = build()
    network.run(seconds * second)
    b2.device.build(directory=folder, compile=True, run=False, with_output=False)
    began = used()
    b2.device.run(folder, with_output=False, run_args=[])
    return used() - began, np.asarray(spikes.i), np.asarray(spikes.t / second), size


b2.set_device("cpp_standalone", build_on_run=False)
with tempfile.TemporaryDirectory() as short, tempfile.TemporaryDirectory() as long:
    # drawing the synapses is part of each run: a short run tells how long that takes
    made(0.001, short)
    _, i, t, size = made(SECONDS, long)
    late = t >= SETTLED
    cvs = []
    for neuron in range(1000):
        isi = np.diff(t[late & (i == neuron)])
        if len(isi) >= 4:
            cvs.append(isi.std() / isi.mean())
    rate = late.sum() / size / (SECONDS - SETTLED)
    came_out = f"{rate:.1f} Hz, CV {np.mean(cvs):.2f}"
    print(json.dumps({"version": b2.__version__, "came_out": came_out}), flush=True)

    def cpu(folder):
        """CPU seconds of a compiled run."""
        began = used()
        b2.device.run(folder, with_output=False, run_args=[])
        return used() - began

    for line in sys.stdin:
        taken = sum(cpu(long) - cpu(short) for _ in range(int(line)))
        print(json.dumps(taken / SECONDS), flush=True)
