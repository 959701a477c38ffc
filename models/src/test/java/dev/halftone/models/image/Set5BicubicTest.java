// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The bicubic row of every super-resolution table, image by image, against the reference implementations. */
class Set5BicubicTest {
    private static final List<String> IMAGES = List.of("baby", "bird", "butterfly", "head", "woman");
    private static final double DECIBELS = 0.01;
    private static final double SSIM = 1e-4;

    private static Path set5 = Path.of("");
    private static Map<String, Double> golden = Map.of();

    @BeforeAll
    static void open() throws IOException {
        String data = System.getenv("HALFTONE_DATA");
        assumeTrue(data != null, "HALFTONE_DATA is not set: Set5 is not in the repository");
        set5 = Path.of(data, "data", "Set5");
        assumeTrue(Files.isDirectory(set5), set5 + " is not there");
        golden = numbers(Golden.folder().resolve("set5_bicubic.json"));
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void equalsTheReference(int scale) throws Exception {
        double[] sums = new double[6];
        for (String image : IMAGES) {
            Tensor high = Pixels.modCrop(
                    ImageFiles.read(set5.resolve("HR/" + image + ".png")).rgb(), scale);
            Tensor low = ImageFiles.read(set5.resolve("LR_bicubic/X" + scale + "/" + image + "x" + scale + ".png"))
                    .rgb();
            String key = image + "_x" + scale;

            assertThat(Bicubic.resizeUint8(Compute.shared(), high, 1.0 / scale).toArray())
                    .as("%s: MATLAB's low-resolution file, bit for bit", key)
                    .isEqualTo(low.toArray());

            Tensor unrounded = Bicubic.resize(Compute.shared(), low, scale);
            Tensor onePass = Pixels.toUint8(unrounded);
            Tensor twoPasses = Bicubic.resizeUint8(Compute.shared(), low, scale);
            double[] scores = {
                Metrics.psnrY(onePass, high, scale),
                Metrics.ssimY(onePass, high, scale),
                Metrics.psnr(onePass, high, scale),
                Metrics.ssim(onePass, high, scale),
                Metrics.psnrY(twoPasses, high, scale),
                Metrics.ssimY(twoPasses, high, scale)
            };
            check(key, scores);
            for (int i = 0; i < sums.length; i++) {
                sums[i] += scores[i] / IMAGES.size();
            }
        }
        check("MEAN_x" + scale, sums);
    }

    private static void check(String key, double[] scores) {
        String[] names = {
            "psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "uint8_two_pass/up_psnr_y", "uint8_two_pass/up_ssim_y"
        };
        for (int i = 0; i < names.length; i++) {
            assertThat(scores[i])
                    .as("%s %s", key, names[i])
                    .isCloseTo(golden.get(key + "/" + names[i]), within(names[i].contains("psnr") ? DECIBELS : SSIM));
        }
    }

    /** The numbers of a JSON file by their paths; lists are left out. */
    private static Map<String, Double> numbers(Path file) throws IOException {
        Map<String, Double> numbers = new HashMap<>();
        try (JsonParser parser = new JsonFactory().createParser(file.toFile())) {
            while (parser.nextToken() != null) {
                if (parser.currentToken() == JsonToken.START_ARRAY) {
                    parser.skipChildren();
                } else if (parser.currentToken().isNumeric()) {
                    numbers.put(
                            parser.getParsingContext()
                                    .pathAsPointer()
                                    .toString()
                                    .substring(1),
                            parser.getDoubleValue());
                }
            }
        }
        return numbers;
    }
}
