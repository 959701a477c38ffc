// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Long runs that end at any moment and go on, see {@link Kills}. */
final class TrainKillTest {
    @TempDir
    private Path folder;

    @Test
    void aKilledTrainingGoesOnToTheSameBytes() throws Exception {
        String images = Samples.images(folder).toString();
        new Kills(
                        folder,
                        List.of(("train edsr --images " + images + " --validation " + images
                                        + " --steps 60 --every 7 --blocks 1 --features 4 --patch 8 --batch 2"
                                        + " -o OUT/weights.safetensors --resume")
                                .split(" ")))
                .assertAlwaysTheSame();
    }

    @Test
    void aKilledQuantizationGoesOnToTheSameBytes() throws Exception {
        String images = Samples.images(folder).toString();
        new Kills(
                        folder,
                        List.of(("quantize " + Samples.network(folder) + " 2bit --images " + images + " --calibration "
                                        + images + " --steps 40 -o OUT/low.safetensors --resume")
                                .split(" ")))
                .assertAlwaysTheSame();
    }
}
