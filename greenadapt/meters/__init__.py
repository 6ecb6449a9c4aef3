"""Instruments that read joules: one module each, with an instance of `MeterFactory` named `factory`.

nvml         measured    the board's own energy counter (Volta and later)
rapl         measured    the processor's counters, with memory where it has one
codecarbon   estimated   processor, memory and boards of the machine, by a power model
replay       as recorded a recorded series of readings, for tests
"""
