// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.quant.Supervision;
import java.util.Locale;

/** Shows the loss of a distillation, smoothed over some 20 steps, and how well held-back patches were answered last. */
final class TrainingProgress implements Supervision.Listener {
    private static final double KEEP = 0.95;

    private final Progress progress;
    private double loss = Double.NaN;
    private long all;
    private String checked = "";

    TrainingProgress(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void step(long step, long steps, float now) {
        if (Double.isNaN(loss)) {
            progress.restart(step); // the time until then was calibration's, and the first step's, which is slow
        }
        loss = Double.isNaN(loss) ? now : KEEP * loss + (1 - KEEP) * now;
        all = steps;
        show(step);
    }

    @Override
    public void validated(long step, double error, boolean best) {
        checked = String.format(Locale.ROOT, ", held back %.3f%s", error, best ? "" : " (was better before)");
        if (all > 0) {
            show(step);
        }
    }

    private void show(long step) {
        progress.update(step, all, String.format(Locale.ROOT, "loss %.3f%s", loss, checked));
    }
}
