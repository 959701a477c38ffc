// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Value;
import dev.halftone.quant.WeightOperand;

/** What a reconstruction learns about a weight. */
sealed interface LearnedWeight permits LearnedRounding, LearnedClipping, LearnedGroupClipping, LearnedWeight.Kept {
    /** Returns the weight as it is at present, in the graph of {@code w}, the weight without quantization. */
    Value of(Value w);

    /**
     * Does one step against the gradients of what {@link #of} returned.
     *
     * @param progress of the training, 0 to 1
     * @param rate of Adam
     */
    void learn(Gradients gradients, double progress, double rate);

    /** Returns the variables, which {@link #restore} takes back. */
    float[] variables();

    /** Sets the variables. */
    void restore(float[] variables);

    /** From here on the weight is on its grid, as it will be packed; or, with false, as it is trained. */
    void harden(boolean hard);

    /** Leaves what was learned in the operand. */
    void settle(WeightOperand weight);

    /** A weight whose quantizer stays. */
    record Kept(WeightOperand weight) implements LearnedWeight {
        @Override
        public Value of(Value w) {
            return w.graph().constant(weight.stored().dequantize());
        }

        @Override
        public void learn(Gradients gradients, double progress, double rate) {}

        @Override
        public float[] variables() {
            return new float[0];
        }

        @Override
        public void restore(float[] variables) {}

        @Override
        public void harden(boolean hard) {}

        @Override
        public void settle(WeightOperand operand) {}
    }
}
