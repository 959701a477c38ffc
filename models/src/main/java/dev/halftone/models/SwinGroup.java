// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.SwinBlock;
import dev.halftone.nn.Value;
import java.util.ArrayList;
import java.util.List;

/**
 * SwinIR's residual Swin Transformer block (figure 2a): {@code x + conv(blocks(x))} over {@code [N, H, W, C]}. Children
 * {@code residual_group.blocks.0}, ... and {@code conv}.
 */
final class SwinGroup extends Module {
    private final Child blocks;
    private final Child convolution;

    SwinGroup(SwinIrConfig config, int index) {
        blocks = child("residual_group", new Blocks(config, index));
        convolution = child("conv", closing(config));
    }

    /** Returns what closes a group, or the body: a convolution, or three. */
    static Module closing(SwinIrConfig config) {
        int features = config.features();
        return config.threeConvolutions() ? new ThreeConvolutions(features) : new Conv2d(features, features, 3);
    }

    @Override
    public Value forward(Value x) {
        return x.add(convolution.forward(blocks.forward(x)));
    }

    /** The blocks of a group, whose windows are shifted by half a window in every second one. */
    private static final class Blocks extends Module {
        private final List<Child> blocks = new ArrayList<>();

        Blocks(SwinIrConfig config, int index) {
            for (int i = 0; i < config.depths().get(index); i++) {
                int shift = i % 2 == 0 ? 0 : config.window() / 2;
                blocks.add(child(
                        "blocks." + i,
                        new SwinBlock(
                                config.features(),
                                config.heads().get(index),
                                config.window(),
                                shift,
                                config.hidden())));
            }
        }

        @Override
        public Value forward(Value x) {
            Value y = x;
            for (Child block : blocks) {
                y = block.forward(y);
            }
            return y;
        }
    }

    /** Three convolutions with a quarter of the channels between them and leaky ReLUs of slope 0.2 ("3conv"). */
    private static final class ThreeConvolutions extends Module {
        private static final float SLOPE = 0.2f;

        private final Child first;
        private final Child second;
        private final Child third;

        ThreeConvolutions(int features) {
            int few = features / 4;
            first = child("0", new Conv2d(features, few, 3));
            second = child("2", new Conv2d(few, few, 1));
            third = child("4", new Conv2d(few, features, 3));
        }

        @Override
        public Value forward(Value x) {
            Value y = first.forward(x).leakyRelu(SLOPE);
            return third.forward(second.forward(y).leakyRelu(SLOPE));
        }
    }
}
