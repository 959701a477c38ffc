// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Trunk;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.matrix.Hadamard;
import dev.halftone.quant.matrix.Matrix;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Rotates the channels of every residual stream in blocks, each of which gets as many outliers as any other (outlier-sorted block Hadamard of
 * CLQ): channels are sorted by their largest magnitude, relative to the median channel's, dealt to the blocks in turns, and the channels
 * of a block are multiplied by a Hadamard matrix. It is folded into the weights as {@link RotateTrunks} does. The report has {@code outlier},
 * the largest of the ratios, with the first layer that reads the stream.
 *
 * @param block most channels of a block, a power of two; half as many, or half of those, where the width of the stream is no multiple of it
 */
public record RotateOutliers(int block) implements Pass {
    /** Checks the size. */
    public RotateOutliers {
        if (Integer.bitCount(block) != 1) {
            throw new IllegalArgumentException("a block has a power of two of channels, not " + block);
        }
    }

    @Override
    public String id() {
        return "rotate(sorted, blocks of " + block + ")";
    }

    @Override
    public void apply(Quantization run) {
        RotateTrunks.requireTrunks(run);
        Map<InputOperand, ChannelHistograms> inputs = ChannelHistograms.observe(run);
        Map<SiteState, ChannelHistograms> seen = new LinkedHashMap<>();
        for (SiteState site : run.sites()) {
            ChannelHistograms input = inputs.get(site.inputs().getFirst());
            if (input != null) {
                seen.put(site, input);
            }
        }
        for (Trunk trunk : run.network().trunks()) {
            List<SiteState> readers = run.sites().stream()
                    .filter(site -> trunk.readers().contains(site.site().slot()) && seen.containsKey(site))
                    .toList();
            if (readers.isEmpty()) {
                continue;
            }
            double[] largest = null;
            for (SiteState reader : readers) {
                ChannelHistograms channels = seen.get(reader);
                for (int c = 0; channels != null && c < channels.size(); c++) {
                    largest = largest == null ? new double[channels.size()] : largest;
                    largest[c] = Math.max(largest[c], channels.largest(c));
                }
            }
            if (largest != null) {
                double median = Arrays.stream(largest).sorted().toArray()[largest.length / 2];
                double most = Arrays.stream(largest).max().orElse(0);
                readers.getFirst().measure("outlier", most / Math.max(median, Double.MIN_NORMAL));
                RotateTrunks.fold(run, trunk, rotation(largest, Math.min(block, Integer.lowestOneBit(largest.length))));
            }
        }
    }

    /** Returns the rotation of channels with these largest magnitudes, of which there are a multiple of {@code block}. */
    static Matrix rotation(double[] largest, int block) {
        int n = largest.length;
        Matrix h = Hadamard.of(block);
        int[] order = IntStream.range(0, n)
                .boxed()
                .sorted(Comparator.comparingDouble(c -> -largest[c]))
                .mapToInt(Integer::intValue)
                .toArray();
        int blocks = n / block;
        Matrix rotation = Matrix.zeros(n, n);
        for (int i = 0; i < n; i++) {
            int at = i % blocks * block;
            for (int c = 0; c < block; c++) {
                rotation.set(order[i], at + c, h.get(i / blocks, c) / Math.sqrt(block));
            }
        }
        return rotation;
    }
}
