// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.optim.Trainer;
import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;

/**
 * The course of a training run, for eyes and spreadsheets: {@code NAME.training.csv} with a row for every few steps (mean loss,
 * learning rate, largest gradient norm, and where the network was validated, PSNR and SSIM) and {@code NAME.training.svg}, a picture
 * of loss and PSNR over the steps.
 */
final class TrainingLog {
    private static final String HEADER = "step,loss,learning_rate,gradient_norm,psnr,ssim\n";
    private static final int WIDTH = 720;
    private static final int HEIGHT = 360;
    private static final int LEFT = 60;
    private static final int RIGHT = WIDTH - 60;
    private static final int TOP = 36;
    private static final int BOTTOM = HEIGHT - 36;
    private static final String LOSS_COLOUR = "#b03030";
    private static final String PSNR_COLOUR = "#2050a0";

    /** A row; PSNR and SSIM are NaN where there was no validation. */
    private record Row(long step, double loss, double rate, double norm, double psnr, double ssim) {
        static Row parse(String line) {
            String[] f = line.split(",", -1);
            return new Row(
                    Long.parseLong(f[0]),
                    Double.parseDouble(f[1]),
                    Double.parseDouble(f[2]),
                    Double.parseDouble(f[3]),
                    f[4].isEmpty() ? Double.NaN : Double.parseDouble(f[4]),
                    f[5].isEmpty() ? Double.NaN : Double.parseDouble(f[5]));
        }

        String line() {
            return step + "," + loss + "," + rate + "," + norm + "," + (Double.isNaN(psnr) ? "," : psnr + "," + ssim)
                    + "\n";
        }
    }

    private final Path csv;
    private final Path svg;
    private final long rowEvery;
    private final List<Row> rows = new ArrayList<>();
    private double losses;
    private double largestNorm;
    private long steps;

    /**
     * Prepares the log of a run.
     *
     * @param output the weights' file, which names the log's
     * @param rowEvery steps per row
     */
    TrainingLog(Path output, long rowEvery) {
        String name = output.getFileName().toString().replaceFirst("\\.safetensors$", "");
        csv = output.resolveSibling(name + ".training.csv");
        svg = output.resolveSibling(name + ".training.svg");
        this.rowEvery = rowEvery;
    }

    /** Returns the files that are written. */
    List<Path> files() {
        return List.of(csv, svg);
    }

    /** Goes on after a step: what an interrupted run wrote beyond it is dropped. */
    void resume(long step) throws IOException {
        rows.clear();
        if (!Files.exists(csv)) {
            return;
        }
        try {
            Files.readAllLines(csv).stream()
                    .skip(1)
                    .map(Row::parse)
                    .takeWhile(row -> row.step() <= step)
                    .forEach(rows::add);
        } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
            throw new InvalidFileException(csv, "is not the log of a training run; delete it to go on without");
        }
    }

    /** Notes a step. */
    void step(long step, Trainer.Step done, double learningRate) {
        losses += done.loss();
        largestNorm = Math.max(largestNorm, done.gradientNorm());
        steps++;
        if (step % rowEvery == 0) {
            rows.add(new Row(step, losses / steps, learningRate, largestNorm, Double.NaN, Double.NaN));
            losses = 0;
            largestNorm = 0;
            steps = 0;
        }
    }

    /** Notes a validation after a step, and writes both files. */
    void validated(long step, double learningRate, Evaluation.Score score) throws IOException {
        Row last = steps == 0
                ? rows.removeLast()
                : new Row(step, losses / steps, learningRate, largestNorm, Double.NaN, Double.NaN);
        rows.add(new Row(step, last.loss(), last.rate(), last.norm(), score.psnr(), score.ssim()));
        losses = 0;
        largestNorm = 0;
        steps = 0;
        AtomicFile.write(csv, out -> {
            out.write(HEADER.getBytes(StandardCharsets.UTF_8));
            for (Row row : rows) {
                out.write(row.line().getBytes(StandardCharsets.UTF_8));
            }
        });
        AtomicFile.write(svg, out -> out.write(picture().getBytes(StandardCharsets.UTF_8)));
    }

    /** Draws two curves over the steps: the loss (left axis, logarithmic) and the PSNR (right axis). */
    private String picture() {
        List<Row> validated =
                rows.stream().filter(row -> !Double.isNaN(row.psnr())).toList();
        double[] loss = range(rows.stream().mapToDouble(row -> Math.log10(Math.max(row.loss(), 1e-6))));
        double[] psnr = range(validated.stream().mapToDouble(Row::psnr));
        StringBuilder s = new StringBuilder(
                String.format(Locale.ROOT, """
                <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
                <rect width="100%%" height="100%%" fill="white"/>
                <text x="%d" y="20" fill="%s">loss</text>
                <text x="%d" y="20" fill="%s" text-anchor="end">PSNR in dB (best %.2f)</text>
                """, WIDTH, HEIGHT, LEFT, LOSS_COLOUR, RIGHT, PSNR_COLOUR, psnr[1]));
        long steps = rows.getLast().step();
        for (int i = 0; i <= 4; i++) {
            double t = i / 4.0;
            double y = BOTTOM - t * (BOTTOM - TOP);
            s.append(String.format(
                    Locale.ROOT,
                    """
                    <line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>
                    <text x="%d" y="%.1f" fill="%s" text-anchor="end">%.3g</text>
                    <text x="%d" y="%.1f" fill="%s">%.2f</text>
                    <text x="%.1f" y="%d" text-anchor="middle">%d</text>
                    """,
                    LEFT,
                    RIGHT,
                    y,
                    y,
                    LEFT - 6,
                    y + 4,
                    LOSS_COLOUR,
                    Math.pow(10, loss[0] + t * (loss[1] - loss[0])),
                    RIGHT + 6,
                    y + 4,
                    PSNR_COLOUR,
                    psnr[0] + t * (psnr[1] - psnr[0]),
                    LEFT + t * (RIGHT - LEFT),
                    BOTTOM + 18,
                    Math.round(t * steps)));
        }
        curve(s, rows, row -> Math.log10(Math.max(row.loss(), 1e-6)), loss, LOSS_COLOUR, steps);
        curve(s, validated, Row::psnr, psnr, PSNR_COLOUR, steps);
        return s.append("</svg>\n").toString();
    }

    private static double[] range(DoubleStream values) {
        DoubleSummaryStatistics statistics = values.summaryStatistics();
        double slack = statistics.getMax() > statistics.getMin() ? 0 : 0.5;
        return new double[] {statistics.getMin() - slack, statistics.getMax() + slack};
    }

    private static void curve(
            StringBuilder s, List<Row> rows, ToDoubleFunction<Row> value, double[] range, String colour, long steps) {
        s.append("<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"")
                .append(colour)
                .append("\" points=\"");
        for (Row row : rows) {
            double t = (value.applyAsDouble(row) - range[0]) / (range[1] - range[0]);
            s.append(String.format(
                    Locale.ROOT,
                    "%.1f,%.1f ",
                    LEFT + (double) row.step() / steps * (RIGHT - LEFT),
                    BOTTOM - t * (BOTTOM - TOP)));
        }
        s.append("\"/>\n");
    }
}
