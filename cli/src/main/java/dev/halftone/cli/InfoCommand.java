// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** Says what computes here, and why. */
@Command(name = "info", description = "Show which kernels and how many threads are used, and why.")
final class InfoCommand implements Callable<Integer> {
    private final Console console;

    InfoCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() {
        Kernels kernels = KernelProvider.kernels();
        Runtime.Version jvm = Runtime.version();
        String vendor = System.getProperty("java.vendor");
        String home = System.getProperty("java.home");
        String os = System.getProperty("os.name") + " " + System.getProperty("os.arch");
        int processors = Runtime.getRuntime().availableProcessors();
        long heap = Runtime.getRuntime().maxMemory();
        try (Compute compute = console.compute()) {
            if (console.json()) {
                console.print(Json.ofCommand("info")
                        .put("version", Main.version())
                        .put("backend", backend(compute))
                        .put("reason", KernelProvider.reason())
                        .put(
                                "jvm",
                                new Json()
                                        .put("version", jvm.toString())
                                        .put("vendor", vendor)
                                        .put("home", home))
                        .put("maxHeapBytes", heap)
                        .put("system", os)
                        .put("processors", processors));
            } else {
                console.print("halftone   %s", Main.version());
                console.print(
                        "kernels    %s, %d-bit: %s", kernels.name(), kernels.vectorBits(), KernelProvider.reason());
                console.print("threads    %d (%d processors)", compute.threads(), processors);
                console.print("JVM        %s, %s (%s)", jvm, vendor, home);
                console.print("heap       up to %d MiB", heap >> 20);
                console.print("system     %s", os);
            }
        }
        return ExitCode.OK;
    }

    /** Describes what computes, as every report does. */
    static Json backend(Compute compute) {
        Kernels kernels = KernelProvider.kernels();
        return new Json()
                .put("kernels", kernels.name())
                .put("vectorBits", kernels.vectorBits())
                .put("threads", compute.threads());
    }
}
