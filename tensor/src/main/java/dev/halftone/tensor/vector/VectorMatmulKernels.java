// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.MatmulKernels;
import dev.halftone.tensor.kernels.MatmulShape;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The matrix products on the micro-kernel of {@link Panels}. */
final class VectorMatmulKernels implements MatmulKernels {
    @Override
    public void matmul(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, int fromRow, int toRow) {
        MatmulShape s = MatmulShape.of(a, b, bias, c, fromRow, toRow);
        Panels panels = new Panels(a.array(), b.array(), c.array(), bias == null ? new float[s.n()] : bias.array());
        panels.rows = 1;
        panels.run = s.k();
        panels.xStep = s.k();
        panels.xInner = 1;
        panels.wStep = s.n();
        panels.yStep = s.n();
        panels.run(
                toRow - fromRow,
                s.n(),
                a.offset() + fromRow * s.k(),
                b.offset(),
                bias == null ? 0 : bias.offset(),
                c.offset() + fromRow * s.n());
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
        Panels panels = new Panels(a.array(), b.array(), c.array(), new float[s.n()]);
        panels.rows = 1;
        panels.xStep = 1;
        panels.xInner = s.m();
        panels.wStep = s.n();
        panels.yStep = s.n();
        panels.add = true;
        for (int block = 0; block < s.k(); block += SUM_BLOCK) {
            panels.run = Math.min(SUM_BLOCK, s.k() - block);
            panels.run(
                    toRow - fromRow,
                    s.n(),
                    a.offset() + block * s.m() + fromRow,
                    b.offset() + block * s.n(),
                    0,
                    c.offset() + fromRow * s.n());
        }
    }
}
