// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.models.image.Bicubic;
import dev.halftone.models.procedural.ProceduralImages;
import dev.halftone.nn.optim.Trainer.Batch;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainingTest {
    private static final PatchSampler.Options DATA = new PatchSampler.Options(2, 12, 3, 0.5, 9);

    @TempDir
    Path folder;

    private static PatchSampler sampler(Compute compute) throws Exception {
        return PatchSampler.open(compute, List.of(ImageSource.of("a", ProceduralImages.image(3, 64, 80))), DATA);
    }

    private static final class Stop extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    private List<Float> train(int threads, Path checkpoint, boolean resume, long stopAt) throws Exception {
        List<Float> losses = new ArrayList<>();
        try (Compute compute = Compute.ofThreads(threads)) {
            Edsr network = new Edsr(new EdsrConfig(1, 6, 2, 1)).initialize(new SplittableRandom(4));
            Training training =
                    new Training(compute, network, sampler(compute), new Training.Options(DATA, 30, 2e-3, 10, 100));
            if (resume) {
                training.resume(checkpoint);
            }
            training.run(checkpoint, List.of(), new Training.Listener() {
                @Override
                public void step(long step, long steps, float loss, double learningRate) {
                    losses.add(loss);
                    if (step == stopAt) {
                        throw new Stop();
                    }
                }

                @Override
                public void validated(long step, Evaluation result) {}
            });
        } catch (Stop expected) {
            assertThat(losses).isNotEmpty();
        }
        return losses;
    }

    @Test
    void aResumedRunEndsWithTheSameBytes() throws Exception {
        Path whole = folder.resolve("whole.safetensors");
        Path parts = folder.resolve("parts.safetensors");
        List<Float> losses = train(1, whole, false, -1);
        assertThat(losses).hasSize(30);
        assertThat(losses.getLast()).isLessThan(losses.getFirst());
        train(2, parts, false, 17);
        // The last checkpoint is that of step 10, and the loss of step 11 is the first after it.
        assertThat(train(3, parts, true, -1)).isEqualTo(losses.subList(10, 30));
        assertThat(Files.readAllBytes(parts)).isEqualTo(Files.readAllBytes(whole));
    }

    @Test
    void refusesACheckpointOfOtherSettings() throws Exception {
        Path checkpoint = folder.resolve("a.safetensors");
        train(1, checkpoint, false, 10);
        train(1, checkpoint, false, 11);
        Edsr other = new Edsr(new EdsrConfig(1, 8, 2, 1));
        Compute compute = Compute.shared();
        Training training =
                new Training(compute, other, sampler(compute), new Training.Options(DATA, 30, 2e-3, 10, 100));
        assertThatThrownBy(() -> training.resume(checkpoint))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("features 6, not 8");
    }

    @Test
    void patchesAreAFunctionOfSeedAndStepAndFitTogether() throws Exception {
        Compute compute = Compute.shared();
        PatchSampler sampler = sampler(compute);
        for (long step = 0; step < 12; step++) {
            Batch batch = sampler.at(step);
            assertThat(sampler(compute).at(step).input().toArray())
                    .isEqualTo(batch.input().toArray());
            for (int i = 0; i < DATA.batch(); i++) {
                Tensor low = batch.input().slice(i);
                Tensor reduced = Bicubic.resizeUint8(compute, batch.target().slice(i), 0.5);
                // Away from the patch's border the reduction of the target is the input, up to the rounding and
                // clipping between
                // the two passes of the reduction, which come in the other order under a transposition.
                double difference = 0;
                for (int y = 3; y < 9; y++) {
                    for (int x = 3; x < 9; x++) {
                        for (int c = 0; c < 3; c++) {
                            difference += Math.abs(low.get(y, x, c) - reduced.get(y, x, c)) / 108;
                        }
                    }
                }
                assertThat(difference).isLessThan(0.6);
            }
        }
    }
}
