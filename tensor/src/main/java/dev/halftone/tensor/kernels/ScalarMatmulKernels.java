// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The matrix products as their interface defines them. */
final class ScalarMatmulKernels implements MatmulKernels {
    @Override
    public void matmul(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, int fromRow, int toRow) {
        MatmulShape s = MatmulShape.of(a, b, bias, c, fromRow, toRow);
        for (int i = fromRow; i < toRow; i++) {
            int to = c.offset() + i * s.n();
            if (bias == null) {
                Arrays.fill(c.array(), to, to + s.n(), 0f);
            } else {
                System.arraycopy(bias.array(), bias.offset(), c.array(), to, s.n());
            }
            for (int k = 0; k < s.k(); k++) {
                fma(a.array()[a.offset() + i * s.k() + k], b.array(), b.offset() + k * s.n(), c.array(), to, s.n());
            }
        }
    }

    @Override
    public void matmulTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow) {
        MatmulShape s = MatmulShape.ofTransposedA(a, b, c, fromRow, toRow);
        Arrays.fill(c.array(), c.offset() + fromRow * s.n(), c.offset() + toRow * s.n(), 0f);
        addTransposedA(a, b, c, fromRow, toRow);
    }

    @Override
    public void addTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow) {
        MatmulShape s = MatmulShape.ofTransposedA(a, b, c, fromRow, toRow);
        float[] blockSum = new float[s.n()];
        for (int i = fromRow; i < toRow; i++) {
            int to = c.offset() + i * s.n();
            for (int block = 0; block < s.k(); block += SUM_BLOCK) {
                Arrays.fill(blockSum, 0f);
                for (int k = block; k < Math.min(block + SUM_BLOCK, s.k()); k++) {
                    fma(a.array()[a.offset() + k * s.m() + i], b.array(), b.offset() + k * s.n(), blockSum, 0, s.n());
                }
                for (int j = 0; j < s.n(); j++) {
                    c.array()[to + j] += blockSum[j];
                }
            }
        }
    }

    private static void fma(float value, float[] from, int fromAt, float[] to, int toAt, int n) {
        for (int j = 0; j < n; j++) {
            to[toAt + j] = Math.fma(value, from[fromAt + j], to[toAt + j]);
        }
    }
}
