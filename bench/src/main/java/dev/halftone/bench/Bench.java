// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import java.util.List;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** Runs the JMH benchmarks (arguments are JMH's) and prints a table of the convolutions' GOP/s and ratios to fp32. */
public final class Bench {
    private Bench() {}

    /** Runs. */
    public static void main(String[] args) throws RunnerException, CommandLineOptionException {
        ChainedOptionsBuilder options = new OptionsBuilder().parent(new CommandLineOptions(args));
        List<RunResult> results = new Runner(options.build())
                .run().stream()
                        .filter(r -> r.getParams().getBenchmark().contains(ConvBenchmark.class.getSimpleName()))
                        .toList();
        if (results.isEmpty()) {
            return;
        }
        System.out.printf("%n%-20s %5s %5s %10s %9s %9s%n", "64 -> 64, 3x3", "size", "bits", "ms", "GOP/s", "fp32/own");
        for (RunResult r : results) {
            String name = r.getParams().getBenchmark().replaceAll(".*\\.", "");
            String size = r.getParams().getParam("size");
            String bits = r.getParams().getParam("bits");
            double ms = r.getPrimaryResult().getScore();
            int n = Integer.parseInt(size);
            double gops = 2e-6 * 9 * ConvBenchmark.CHANNELS * ConvBenchmark.CHANNELS * n * n / ms;
            double full = results.stream()
                    .filter(o -> o.getParams().getBenchmark().endsWith(".fp32")
                            && size.equals(o.getParams().getParam("size")))
                    .mapToDouble(o -> o.getPrimaryResult().getScore())
                    .findFirst()
                    .orElse(Double.NaN);
            System.out.printf(
                    "%-20s %5s %5s %10.3f %9.1f %9.2f%n", name, size, bits == null ? "32" : bits, ms, gops, full / ms);
        }
    }
}
