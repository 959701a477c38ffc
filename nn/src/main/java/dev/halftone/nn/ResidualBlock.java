// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

/**
 * EDSR's residual block (Lim et al. 2017, figure 2c): {@code x + scale * conv(relu(conv(x)))}, without batch normalisation.
 * Children {@code body.0} and {@code body.2}.
 */
public final class ResidualBlock extends Module {
    private final float scale;
    private final Child first;
    private final Child second;

    /** Creates a block over {@code [N, H, W, first.out]}. */
    public ResidualBlock(Module first, Module second, float scale) {
        this.scale = scale;
        this.first = child("body.0", first);
        this.second = child("body.2", second);
    }

    @Override
    public Value forward(Value x) {
        return x.addScaled(scale, second.forward(first.forward(x).relu()));
    }
}
