"""Claims: experiments, paper figures, benchmarks and the command line."""
