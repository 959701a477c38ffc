// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.op.FakeQuantizeOp;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Fake quantization against the numbers of 2DQuant's published quantizer: outputs to the bit, input gradients within 1e-6
 * of the largest (the reference multiplies by the step and divides by it), gradients of the bounds, which are sums over the tensor,
 * within 1e-5 of the sum of the upstream gradient's magnitudes.
 */
final class FakeQuantizeGoldenTest {
    private static final Golden GOLDEN = Golden.open("quant_fake");

    private static List<String> ofKind(String kind) {
        return GOLDEN.cases().stream()
                .filter(c -> GOLDEN.text(c, "kind").equals(kind))
                .toList();
    }

    static List<String> staticCases() {
        return ofKind("static");
    }

    static List<String> dynamicCases() {
        return ofKind("dynamic");
    }

    @Test
    void noCaseIsMissing() {
        assertThat(staticCases()).hasSize(28);
        assertThat(dynamicCases()).hasSize(4);
        assertThat(GOLDEN.cases()).hasSize(32);
    }

    @ParameterizedTest
    @MethodSource("staticCases")
    void equalsTheReference(String name) {
        Tensor x = GOLDEN.tensor(name + "/x");
        Tensor lower = GOLDEN.tensor(name + "/lower");
        Tensor upper = GOLDEN.tensor(name + "/upper");
        Tensor gradient = GOLDEN.tensor(name + "/grad_out");
        int bits = GOLDEN.integer(name, "bit");

        GOLDEN.assertClose(
                name + "/out", UniformQuantizer.of(bits, lower, upper).fake(x), 0);

        Tensor[] gradients = new FakeQuantizeOp(bits)
                .backward(Compute.shared(), new Tensor[] {x, lower, upper}, x, gradient, new boolean[] {true, true, true
                });
        GOLDEN.assertClose(name + "/grad.x", gradients[0], 1e-6);
        double sum = 0;
        for (float g : gradient.toArray()) {
            sum += Math.abs(g);
        }
        assertThat((double) gradients[1].item()).isCloseTo(GOLDEN.scalar(name + "/grad.lower"), within(1e-5 * sum));
        assertThat((double) gradients[2].item()).isCloseTo(GOLDEN.scalar(name + "/grad.upper"), within(1e-5 * sum));
    }

    /** Bounds that are the extremes of the tensor itself, and through which no gradient flows. */
    @ParameterizedTest
    @MethodSource("dynamicCases")
    void dynamicRangesEqualTheReference(String name) {
        Tensor x = GOLDEN.tensor(name + "/x");
        UniformQuantizer quantizer = UniformQuantizer.perTensor(
                new MinMax().calibrate(Samples.of("x", x), GOLDEN.integer(name, "bit"), Tails.BOTH));
        GOLDEN.assertClose(name + "/out", quantizer.fake(x), 0);
        Tensor[] gradients = new FakeQuantizeOp(quantizer.bits())
                .backward(
                        Compute.shared(),
                        new Tensor[] {x, quantizer.lower(), quantizer.upper()},
                        x,
                        GOLDEN.tensor(name + "/grad_out"),
                        new boolean[] {true, false, false});
        GOLDEN.assertClose(name + "/grad.x", gradients[0], 1e-6);
        assertThat(gradients[1]).isNull();
        assertThat(gradients[2]).isNull();
    }
}
