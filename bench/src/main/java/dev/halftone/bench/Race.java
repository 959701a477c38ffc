// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.List;

/**
 * Times entrants in turns, so that a machine that becomes slower or faster meanwhile does so for all of them. With one thread the
 * clock is that thread's CPU time, which other processes do not lengthen (both sides compute on the calling thread then); with more
 * it is the wall clock.
 */
final class Race {
    private static final int ROUNDS = 15;
    private static final double WARM_UP_SECONDS = 1.5;
    private static final int WARM_UP_RUNS = 8;

    private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    private final boolean cpuTime;

    Race(int threads) {
        this.cpuTime = threads == 1;
    }

    /** Returns which clock is read. */
    String clock() {
        return cpuTime ? "thread CPU time" : "wall clock";
    }

    /** Returns the median time of each entrant for a unit of its work, in milliseconds. */
    double[] run(List<Entrant> entrants) {
        for (Entrant e : entrants) {
            long start = System.nanoTime();
            for (int i = 0; i < WARM_UP_RUNS || (System.nanoTime() - start) * 1e-9 < WARM_UP_SECONDS; i++) {
                e.work().run();
            }
        }
        double[][] times = new double[entrants.size()][ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < times.length; i++) {
                Entrant e = entrants.get(i);
                long start = now();
                e.work().run();
                times[i][round] = (now() - start) * 1e-6 / e.units();
            }
        }
        double[] medians = new double[times.length];
        for (int i = 0; i < times.length; i++) {
            Arrays.sort(times[i]);
            medians[i] = times[i][ROUNDS / 2];
        }
        return medians;
    }

    private long now() {
        return cpuTime ? threads.getCurrentThreadCpuTime() : System.nanoTime();
    }
}
