// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.CodePath;
import dev.halftone.tensor.kernels.CodeRate;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.LowBitKernels;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Measures every way of multiplying codes at every width, for the tables by which the kernels choose: 3x3 convolution of 64 to 64
 * channels, codes in and fp32 out, thread CPU time.
 */
public final class Rates {
    private static final int CHANNELS = 64;
    private static final int SIZE = 64;
    private static final double OPERATIONS = 2.0 * 9 * CHANNELS * CHANNELS * SIZE * SIZE;

    private final LowBitKernels kernels = KernelProvider.kernels().lowBit();
    private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();

    private Rates() {}

    /** Measures and prints; other arguments are not taken. */
    public static void main(String[] args) {
        System.out.println(KernelProvider.kernels().vectorBits()
                + "-bit vectors, GOP/s, weight bits down, activation bits across");
        Rates rates = new Rates();
        for (CodePath path : CodePath.values()) {
            System.out.println(path.label());
            if (path != CodePath.LOOK_UP) {
                // The others' rates do not depend on the widths.
                int bits = path == CodePath.BIT_COUNT ? 1 : 8;
                System.out.printf("%6d%n", rates.rate(path, bits, bits));
                continue;
            }
            for (int weight = 1; weight <= 8; weight++) {
                StringBuilder line = new StringBuilder();
                for (int activation = 1; activation <= 8; activation++) {
                    line.append(String.format("%6d", rates.rate(path, weight, activation)));
                }
                System.out.println(line);
            }
        }
    }

    /** Returns the rate of a way, or 0 if it cannot run. */
    private long rate(CodePath path, int weightBits, int activationBits) {
        if (kernels.rates(weightBits, activationBits).stream()
                .map(CodeRate::path)
                .noneMatch(path::equals)) {
            return 0;
        }
        SplittableRandom random = new SplittableRandom(1);
        byte[] codes = new byte[9 * CHANNELS * CHANNELS];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(1 << weightBits);
        }
        Tensor ones = Tensor.zeros(CHANNELS).fill(0.01f);
        PackedConv conv = kernels.prepare(
                new QuantizedConvWeight(3, CHANNELS, CHANNELS, PackedCodes.pack(codes, weightBits), ones, ones, ones),
                new UniformGrid(activationBits, 0, 1),
                path);
        Tensor x = Tensor.zeros(1, SIZE, SIZE, CHANNELS);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = (float) random.nextDouble();
        }
        Tensor y = Tensor.zeros(1, SIZE, SIZE, CHANNELS);
        ActivationCodes map = conv.allocate(1, SIZE, SIZE);
        conv.quantize(x, map, 0, SIZE);
        // Long enough for C2. The scalar kernel takes a second for each run.
        long warm = threads.getCurrentThreadCpuTime() + (path == CodePath.SCALAR ? 0 : 400_000_000L);
        long[] nanos = new long[path == CodePath.SCALAR ? 2 : 40];
        do {
            conv.forward(map, true, y, 0, SIZE);
        } while (threads.getCurrentThreadCpuTime() < warm);
        for (int i = 0; i < nanos.length; i++) {
            long start = threads.getCurrentThreadCpuTime();
            conv.forward(map, true, y, 0, SIZE);
            nanos[i] = threads.getCurrentThreadCpuTime() - start;
        }
        Arrays.sort(nanos);
        // The fastest quarter: what others do to the caches only slows down.
        return Math.round(OPERATIONS / nanos[nanos.length / 4]);
    }
}
