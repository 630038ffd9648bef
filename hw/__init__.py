"""What a spiking circuit costs to run: graphs, cores, events, joules and seconds."""
