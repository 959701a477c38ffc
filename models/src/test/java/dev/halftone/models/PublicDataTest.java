// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.halftone.models.image.Bicubic;
import dev.halftone.models.image.Pixels;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Scope;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Numbers that are known from elsewhere, on public images and weights: skipped where HALFTONE_DATA does not lead to them. */
class PublicDataTest {
    private final Compute compute = Compute.shared();
    private Path data = Path.of("");

    @BeforeEach
    void requireData() {
        String folder = System.getenv("HALFTONE_DATA");
        assumeTrue(folder != null, "HALFTONE_DATA is not set: public images and weights are not in the repository");
        data = Path.of(folder);
        assumeTrue(Files.isDirectory(data.resolve("data/Set5/HR")), data + " has no data/Set5");
    }

    private List<ImageSource> set5() throws IOException {
        return ImageSource.folder(data.resolve("data/Set5/HR"));
    }

    @ParameterizedTest
    @CsvSource({"2, 33.66", "3, 30.39", "4, 28.42"})
    void bicubicEqualsMatlab(int scale, double published) throws Exception {
        for (ImageSource source : ImageSource.folder(data.resolve("data/Set5/LR_bicubic/X" + scale))) {
            String name = source.name().replace("x" + scale, "");
            ImageSource high = set5().stream()
                    .filter(s -> s.name().equals(name))
                    .findFirst()
                    .orElseThrow();
            Tensor low = Bicubic.resizeUint8(compute, Pixels.modCrop(high.read(), scale), 1.0 / scale);
            assertThat(low.toArray()).as(name).isEqualTo(source.read().toArray());
        }
        List<Evaluation.Pair> pairs = Evaluation.pairs(compute, set5(), scale);
        assertThat(Evaluation.bicubic(compute, pairs, scale).mean().psnr()).isCloseTo(published, within(0.02));
    }

    @Test
    void quantizedPublicWeights() throws Exception {
        String weights = data.resolve("weights/edsr_n8_f64_x2.pt").toString();
        List<Evaluation.Pair> pairs = Evaluation.pairs(compute, set5(), 2);
        assertThat(psnr(Zoo.open(weights), pairs)).isCloseTo(37.80, within(0.01));

        PatchSampler sampler = PatchSampler.open(
                compute,
                ImageSource.folder(data.resolve("data/BSDS500/train")),
                new PatchSampler.Options(2, 64, 8, 0, 1));
        List<Tensor> calibration = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            calibration.add(sampler.at(i).input());
        }
        for (int bits : new int[] {2, 4}) {
            double[] psnr = new double[2];
            for (int packed = 0; packed < 2; packed++) {
                SuperResolutionNetwork network = Zoo.open(weights);
                Quantization run = new Quantization(
                        compute, network.module(), new Quantization.Options(bits, bits, Scope.BODY), calibration);
                Recipes.byId("dobi").orElseThrow().apply(run);
                List<LayerReport> layers = packed == 1 ? run.pack() : run.simulate();
                assertThat(layers).hasSize(16);
                psnr[packed] = psnr(network, pairs);
            }
            assertThat(psnr[1]).as("%d bit", bits).isGreaterThanOrEqualTo(bits == 2 ? 35.3 : 37.3);
            assertThat(psnr[1]).as("packed against simulated").isCloseTo(psnr[0], within(0.02));
        }
    }

    private double psnr(SuperResolutionNetwork network, List<Evaluation.Pair> pairs) {
        try (Upscaler upscaler = Upscaler.of(network, compute)) {
            return Evaluation.run(compute, pairs, 2, upscaler::upscale, Tiler.Progress.NONE)
                    .mean()
                    .psnr();
        }
    }
}
