// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** The 3x3 convolution of 64 to 64 channels, one thread: fp32 scalar and vector, and packed codes at every width. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 2, jvmArgsAppend = "--add-modules=jdk.incubator.vector")
public class ConvBenchmark {
    static final int CHANNELS = 64;

    /** fp32 operands. */
    @State(Scope.Benchmark)
    public static class Full {
        @Param({"128", "256"})
        public int size;

        final Kernels scalar = new ScalarKernels();
        final Kernels vector = KernelProvider.kernels();
        ConvGeometry geometry;
        Tensor x;
        Tensor weight;
        Tensor bias;
        Tensor y;

        @Setup
        public void fill() {
            SplittableRandom random = new SplittableRandom(1);
            geometry = new ConvGeometry(1, size, size, CHANNELS, CHANNELS, 3, 1, 1);
            x = random(random, 1, size, size, CHANNELS);
            weight = random(random, 3, 3, CHANNELS, CHANNELS);
            bias = random(random, CHANNELS);
            y = Tensor.zeros(1, size, size, CHANNELS);
        }
    }

    /** Packed operands. */
    @State(Scope.Benchmark)
    public static class Packed {
        @Param({"128", "256"})
        public int size;

        @Param({"1", "2", "3", "4", "8"})
        public int bits;

        PackedConv conv;
        ActivationCodes codes;
        PackedConv scalar;
        ActivationCodes scalarCodes;
        Tensor x;
        Tensor y;

        @Setup
        public void fill() {
            SplittableRandom random = new SplittableRandom(2);
            byte[] weight = new byte[9 * CHANNELS * CHANNELS];
            for (int i = 0; i < weight.length; i++) {
                weight[i] = (byte) random.nextInt(1 << bits);
            }
            Tensor ones = Tensor.zeros(CHANNELS).fill(0.01f);
            QuantizedConvWeight quantized =
                    new QuantizedConvWeight(3, CHANNELS, CHANNELS, PackedCodes.pack(weight, bits), ones, ones, ones);
            UniformGrid grid = new UniformGrid(bits, -1, 1);
            conv = KernelProvider.kernels().lowBit().prepare(quantized, grid);
            scalar = new ScalarKernels().lowBit().prepare(quantized, grid);
            codes = conv.allocate(1, size, size);
            x = random(random, 1, size, size, CHANNELS);
            y = Tensor.zeros(1, size, size, CHANNELS);
            conv.quantize(x, codes, 0, size);
            scalarCodes = scalar.allocate(1, size, size);
            scalar.quantize(x, scalarCodes, 0, size);
        }
    }

    private static Tensor random(SplittableRandom random, int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextDouble(-1, 1);
        }
        return t;
    }

    /** The scalar specification. */
    @Benchmark
    public Tensor fp32Scalar(Full s) {
        s.scalar.conv().forward(s.geometry, s.x, s.weight, s.bias, true, s.y, 0, s.geometry.rows());
        return s.y;
    }

    /** The direct convolution of the kernels that this machine uses. */
    @Benchmark
    public Tensor fp32(Full s) {
        s.vector.conv().forward(s.geometry, s.x, s.weight, s.bias, true, s.y, 0, s.geometry.rows());
        return s.y;
    }

    /** The scalar specification of codes in, fp32 out. */
    @Benchmark
    public Tensor packedScalar(Packed s) {
        s.scalar.forward(s.scalarCodes, true, s.y, 0, s.size);
        return s.y;
    }

    /** Codes in, fp32 out. */
    @Benchmark
    public Tensor packed(Packed s) {
        s.conv.forward(s.codes, true, s.y, 0, s.size);
        return s.y;
    }

    /** fp32 in, fp32 out: quantizing the input included. */
    @Benchmark
    public Tensor quantizeAndPacked(Packed s) {
        s.conv.quantize(s.x, s.codes, 0, s.size);
        s.conv.forward(s.codes, true, s.y, 0, s.size);
        return s.y;
    }
}
