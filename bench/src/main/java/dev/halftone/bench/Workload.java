// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.models.Edsr;
import dev.halftone.models.EdsrConfig;
import dev.halftone.models.SwinIr;
import dev.halftone.models.SwinIrConfig;
import dev.halftone.nn.Module;
import dev.halftone.nn.Plan;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.op.WinogradConv2dOp;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Scope;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.MatmulKernels;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/** What is timed: the same work for every entrant, with random weights. */
enum Workload {
    CONV_128("conv3x3-64-128", 128),
    CONV_256("conv3x3-64-256", 256),
    EDSR_128("edsr-baseline-x2-128", 128),
    EDSR_256("edsr-baseline-x2-256", 256),
    LINEAR_180("linear-4096x60x180", 4096),
    LINEAR_60("linear-4096x120x60", 4096),
    SWINIR_64("swinir-light-x2-64", 64),
    SWINIR_128("swinir-light-x2-128", 128);

    private static final int CHANNELS = 64;
    private static final int CHAIN = 8;
    private static final int BLOCKS = 16;
    private static final List<Integer> BITS = List.of(1, 2, 3, 4, 8);

    private final String id;
    private final int size;

    Workload(String id, int size) {
        this.id = id;
        this.size = size;
    }

    String id() {
        return id;
    }

    /** Prepares the entrants: Halftone's own, and those of the peer if there is one. */
    List<Entrant> entrants(Compute compute, Stream<Peer> peers) {
        List<Peer> others = peers.toList();
        return switch (this) {
            case CONV_128, CONV_256 -> convolutions(compute, others);
            case EDSR_128, EDSR_256 -> networks(compute, others);
            case LINEAR_180 -> linears(compute, others, 60, 180);
            case LINEAR_60 -> linears(compute, others, 120, 60);
            case SWINIR_64, SWINIR_128 -> transformers(compute, others);
        };
    }

    /** A chain of 3x3 convolutions with ReLU: fp32 in and out, or codes in and codes out. */
    private List<Entrant> convolutions(Compute compute, List<Peer> peers) {
        SplittableRandom random = new SplittableRandom(1);
        List<Tensor> weights = Stream.generate(() -> uniform(random, 0.05f, 3, 3, CHANNELS, CHANNELS))
                .limit(CHAIN)
                .toList();
        Tensor bias = uniform(random, 0.1f, CHANNELS);
        // What plans make of a convolution with constant weights: Winograd's algorithm.
        List<WinogradConv2dOp> ops = weights.stream()
                .map(w -> new WinogradConv2dOp(w, bias, 1, true, false, 1))
                .toList();
        List<WinogradWeight> ready =
                ops.stream().map(WinogradConv2dOp::transform).toList();
        Tensor[] maps = {
            uniform(random, 1, 1, size, size, CHANNELS), Tensor.zeros(1, size, size, CHANNELS),
        };
        List<Entrant> entrants = new ArrayList<>();
        entrants.add(new Entrant(
                "fp32",
                true,
                () -> {
                    for (int i = 0; i < CHAIN; i++) {
                        Tensor[] x = {maps[i % 2]};
                        ops.get(i).run(compute, ready.get(i), x, maps[1 - i % 2], 1, 1);
                    }
                },
                CHAIN));
        for (int bits : BITS) {
            entrants.add(packed(compute, bits));
        }
        float[][] oihw =
                weights.stream().map(w -> w.permute(3, 2, 0, 1).toArray()).toArray(float[][]::new);
        for (Peer peer : peers) {
            Peer.Model full =
                    peer.load(OnnxGraphs.convolutions(oihw, bias.toArray(), CHANNELS, size, false), compute.threads());
            full.input(uniform(random, 1, CHANNELS * size * size).toArray(), 1, CHANNELS, size, size);
            entrants.add(new Entrant(peer.id() + "-fp32", false, full::run, CHAIN, full::close));
            Peer.Model int8 =
                    peer.load(OnnxGraphs.convolutions(oihw, bias.toArray(), CHANNELS, size, true), compute.threads());
            byte[] bytes = new byte[CHANNELS * size * size];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) random.nextInt(256);
            }
            int8.input(bytes, 1, CHANNELS, size, size);
            entrants.add(new Entrant(peer.id() + "-int8", false, int8::run, CHAIN, int8::close));
        }
        return entrants;
    }

    private Entrant packed(Compute compute, int bits) {
        SplittableRandom random = new SplittableRandom(bits);
        List<PackedConv> chain = new ArrayList<>();
        for (int i = 0; i < CHAIN; i++) {
            byte[] codes = new byte[9 * CHANNELS * CHANNELS];
            for (int j = 0; j < codes.length; j++) {
                codes[j] = (byte) random.nextInt(1 << bits);
            }
            float scale = 0.1f / ((1 << bits) - 1);
            chain.add(KernelProvider.kernels()
                    .lowBit()
                    .prepare(
                            new QuantizedConvWeight(
                                    3,
                                    CHANNELS,
                                    CHANNELS,
                                    PackedCodes.pack(codes, bits),
                                    Tensor.zeros(CHANNELS).fill(scale),
                                    Tensor.zeros(CHANNELS).fill(-0.05f),
                                    uniform(random, 0.1f, CHANNELS)),
                            new UniformGrid(bits, 0, 1)));
        }
        ActivationCodes[] maps = {
            chain.getFirst().allocate(1, size, size), chain.getFirst().allocate(1, size, size)
        };
        Tensor x = uniform(random, 1, 1, size, size, CHANNELS);
        chain.getFirst().quantize(x, maps[0], 0, size);
        return new Entrant(
                "w" + bits + "a" + bits,
                true,
                () -> {
                    for (int i = 0; i < CHAIN; i++) {
                        PackedConv conv = chain.get(i);
                        ActivationCodes in = maps[i % 2];
                        ConvOutput out =
                                new ConvOutput(true, null, 1, null, chain.get((i + 1) % CHAIN), maps[1 - i % 2]);
                        compute.forEachRange(size, (from, to) -> conv.forward(in, out, from, to));
                    }
                },
                CHAIN);
    }

    /** EDSR-baseline x2, whole; the 2-bit ones have a 2-bit body, or body and upsampler. */
    private List<Entrant> networks(Compute compute, List<Peer> peers) {
        SplittableRandom random = new SplittableRandom(2);
        Tensor x = Tensor.zeros(1, size, size, 3);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = random.nextInt(256);
        }
        List<Entrant> entrants = new ArrayList<>();
        Edsr full = edsr();
        Plan plan = Plan.compile(compute, full, x.shape());
        entrants.add(new Entrant("fp32", true, () -> plan.run(x), 1));
        for (String scope : List.of("body", "body+upsampler")) {
            Edsr network = edsr();
            Quantization run = new Quantization(
                    compute,
                    network,
                    new Quantization.Options(2, 2, Scope.parse(scope).orElseThrow()),
                    List.of(x));
            Recipes.byId("minmax").orElseThrow().apply(run);
            run.pack();
            Plan packed = Plan.compile(compute, network, x.shape());
            entrants.add(new Entrant("w2a2 " + scope, true, () -> packed.run(x), 1));
        }
        Map<String, float[]> state = state(full);
        float[] nchw = x.permute(0, 3, 1, 2).toArray();
        for (Peer peer : peers) {
            for (boolean int8 : new boolean[] {false, true}) {
                Peer.Model model = peer.load(OnnxGraphs.edsr(state, BLOCKS, CHANNELS, size, int8), compute.threads());
                model.input(nchw, 1, 3, size, size);
                entrants.add(new Entrant(peer.id() + (int8 ? "-int8" : "-fp32"), false, model::run, 1, model::close));
            }
        }
        return entrants;
    }

    /** SwinIR-light x2, whole: in fp32, and with the linear layers and products of its blocks at few bits. */
    private List<Entrant> transformers(Compute compute, List<Peer> peers) {
        SplittableRandom random = new SplittableRandom(5);
        Tensor x = Tensor.zeros(1, size, size, 3);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = random.nextInt(256);
        }
        SwinIr network = new SwinIr(SwinIrConfig.light(2)).initialize(random);
        Plan plan = Plan.compile(compute, network, x.shape());
        List<Entrant> entrants = new ArrayList<>();
        entrants.add(new Entrant("fp32", true, () -> plan.run(x), 1));
        for (int bits : new int[] {2, 4}) {
            SwinIr low = new SwinIr(SwinIrConfig.light(2)).initialize(new SplittableRandom(5));
            Quantization run =
                    new Quantization(compute, low, new Quantization.Options(bits, bits, Scope.BODY), List.of(x));
            Recipes.byId("minmax").orElseThrow().apply(run);
            run.pack();
            Plan packed = Plan.compile(compute, low, x.shape());
            entrants.add(new Entrant("w" + bits + "a" + bits + " body", true, () -> packed.run(x), 1));
        }
        for (Peer peer : peers) {
            Peer.Model model = peer.load(OnnxSwinIr.light(state(network), size), compute.threads());
            model.input(x.permute(0, 3, 1, 2).toArray(), 1, 3, size, size);
            entrants.add(new Entrant(peer.id() + "-fp32", false, model::run, 1, model::close));
        }
        return entrants;
    }

    /** Returns a network's state dict with PyTorch's layouts. */
    static Map<String, float[]> state(Module network) {
        Map<String, float[]> state = new LinkedHashMap<>();
        for (StoredTensor t : StateDict.save(network)) {
            state.put(t.name(), t.toTensor().toArray());
        }
        return state;
    }

    private static Edsr edsr() {
        return new Edsr(new EdsrConfig(BLOCKS, CHANNELS, 2, 1)).initialize(new SplittableRandom(3));
    }

    private List<Entrant> linears(Compute compute, List<Peer> peers, int in, int out) {
        SplittableRandom random = new SplittableRandom(4);
        Tensor x = uniform(random, 1, size, in);
        Tensor weight = uniform(random, 0.1f, in, out);
        Tensor bias = uniform(random, 0.1f, out);
        Tensor y = Tensor.zeros(size, out);
        MatmulKernels kernels = KernelProvider.kernels().matmul();
        // One product takes less than a millisecond, and a thread's CPU time is not read finely everywhere.
        int repeats = 8;
        List<Entrant> entrants = new ArrayList<>();
        entrants.add(new Entrant(
                "fp32",
                true,
                () -> {
                    for (int i = 0; i < repeats; i++) {
                        compute.forEachRange(size, (from, to) -> kernels.matmul(x, weight, bias, y, from, to));
                    }
                },
                repeats));
        for (Peer peer : peers) {
            Peer.Model model =
                    peer.load(OnnxGraphs.linear(weight.toArray(), bias.toArray(), size, in, out), compute.threads());
            model.input(x.toArray(), size, in);
            entrants.add(new Entrant(
                    peer.id() + "-fp32",
                    false,
                    () -> {
                        for (int i = 0; i < repeats; i++) {
                            model.run();
                        }
                    },
                    repeats,
                    model::close));
        }
        return entrants;
    }

    private static Tensor uniform(SplittableRandom random, float bound, int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextDouble(-bound, bound);
        }
        return t;
    }
}
