"""Instruments that read joules: one module each, with an instance of `MeterFactory` named `factory`.

nvml         measured    the boards' own energy counters (Volta and later), else their power, integrated
rapl         measured    the processor's counters, with memory where it has one
codecarbon   estimated   processor, memory and boards of the machine, by a power model
replay       as recorded a recorded series of readings, for tests

What turns readings into joules is the same for all of them:

clocks       the one clock of all readings        recorders     follow a counter, in a thread or not
ticks        when to look at a counter            periods       how often it moves, and when exactly
whole_calls  joules of repeated calls             edges         joules up to any moment, with a bound
"""
