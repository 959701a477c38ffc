// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * Makes images from seeds. The same seed and size give the same bytes on every machine: only {@link StrictMath} and own drawing
 * code are used. Sizes of things are in pixels, so a small image looks like a piece of a large one.
 */
public final class ProceduralImages {
    /**
     * An image with a name.
     *
     * @param image {@code [H, W, 3]}, RGB, whole numbers 0..255
     */
    public record Named(String name, Tensor image) {}

    private static final long EVALUATION_SEED = 0x48616C66746F6E65L;
    private static final long CALIBRATION_SEED = 0x63616C6962726174L;

    private final SplittableRandom random;
    private final Canvas canvas;
    private final Noise noise;
    /** Two or three hues that the picture keeps to. */
    private final double[][] palette;

    private ProceduralImages(long seed, int height, int width) {
        random = new SplittableRandom(seed);
        canvas = new Canvas(height, width);
        noise = new Noise(random.nextLong());
        palette = new double[2 + random.nextInt(2)][];
        for (int i = 0; i < palette.length; i++) {
            palette[i] = new double[] {random.nextDouble(), random.nextDouble(), random.nextDouble()};
        }
    }

    /** Returns the eight default test images, one of each kind, 192 x 256. */
    public static List<Named> evaluationSet() {
        return set(EVALUATION_SEED, 1, 192, 256);
    }

    /** Returns the 24 default calibration images, three of each kind, 128 x 128; none shares its seed with a test image. */
    public static List<Named> calibrationSet() {
        return set(CALIBRATION_SEED, 3, 128, 128);
    }

    private static List<Named> set(long seed, int each, int height, int width) {
        List<Named> images = new ArrayList<>();
        long next = seed;
        for (int i = 0; i < each; i++) {
            for (Kind kind : Kind.values()) {
                String name = kind.name().toLowerCase(Locale.ROOT) + (each == 1 ? "" : "_" + i);
                images.add(new Named(name, image(kind, next++, height, width)));
            }
        }
        return images;
    }

    /** Returns an image of a kind that the seed chooses. */
    public static Tensor image(long seed, int height, int width) {
        Kind[] kinds = Kind.values();
        return image(kinds[new SplittableRandom(~seed).nextInt(kinds.length)], seed, height, width);
    }

    /** Returns an image {@code [height, width, 3]}, RGB, whole numbers 0..255. */
    public static Tensor image(Kind kind, long seed, int height, int width) {
        ProceduralImages p = new ProceduralImages(seed, height, width);
        switch (kind) {
            case DEAD_LEAVES -> p.deadLeaves();
            case GRADIENTS -> p.gradients();
            case TEXT -> p.text();
            case GRATINGS -> p.gratings();
            case FRACTAL_TEXTURE -> p.fractal();
            case SCENE -> p.scene();
            case FACADE -> p.facade();
            case LINES -> p.lines();
        }
        return p.canvas.develop();
    }

    // ---- Colours: natural images vary mostly in brightness, so hues stay near the palette.

    private double[] colour(double brightness) {
        double[] hue = palette[random.nextInt(palette.length)];
        double grey = (hue[0] + hue[1] + hue[2]) / 3;
        double saturation = 0.5 * random.nextDouble();
        double[] rgb = new double[3];
        for (int c = 0; c < 3; c++) {
            rgb[c] = Math.clamp(brightness + saturation * (hue[c] - grey), 0, 1);
        }
        return rgb;
    }

    private double[] colour() {
        return colour(random.nextDouble(0.05, 0.95));
    }

    private static void mix(double[] a, double[] b, double t, double[] out) {
        double u = Math.clamp(t, 0, 1);
        for (int c = 0; c < 3; c++) {
            out[c] = a[c] + u * (b[c] - a[c]);
        }
    }

    /** Returns a plain, shaded, striped or grainy paint. */
    private Canvas.Paint material() {
        double[] a = colour();
        double[] b = colour();
        double angle = random.nextDouble(2 * Math.PI);
        double scale = StrictMath.exp(random.nextDouble(0.5, 4));
        double dx = StrictMath.cos(angle) / scale;
        double dy = StrictMath.sin(angle) / scale;
        double contrast = random.nextDouble(0.1, 0.6);
        double ox = random.nextDouble(1000);
        return switch (random.nextInt(4)) {
            case 0 -> (x, y, rgb) -> mix(a, a, 0, rgb);
            case 1 -> (x, y, rgb) -> mix(a, b, contrast * (1 + triangle(0.15 * (x * dx + y * dy) + ox)), rgb);
            case 2 -> (x, y, rgb) -> mix(a, b, contrast * (1 + 2 * triangle(x * dx + y * dy + ox)), rgb);
            default ->
                (x, y, rgb) -> mix(a, b, contrast * (1 + noise.fractal((x + ox) / scale, y / scale, 4, 0.65)), rgb);
        };
    }

    /** A triangle wave in [-1, 1] with period 1. */
    private static double triangle(double t) {
        return 4 * Math.abs(t - Math.floor(t) - 0.5) - 1;
    }

    // ---- Kinds.

    private void deadLeaves() {
        canvas.fill(material());
        int area = canvas.height() * canvas.width();
        for (int i = 0; i < 40 + area / 60; i++) {
            // Radii with density r^-3 between 2 and 60 pixels give the scale invariance of natural images.
            double u = random.nextDouble();
            double radius = 1 / StrictMath.sqrt(u / 4.0 + (1 - u) / 3600.0);
            leaf(random.nextDouble(canvas.width()), random.nextDouble(canvas.height()), radius);
        }
    }

    private void leaf(double cx, double cy, double radius) {
        double angle = random.nextDouble(2 * Math.PI);
        double ux = StrictMath.cos(angle);
        double uy = StrictMath.sin(angle);
        double flat = random.nextDouble(0.3, 1);
        int shape = random.nextInt(3);
        canvas.fill(
                cx - 1.5 * radius,
                cy - 1.5 * radius,
                cx + 1.5 * radius,
                cy + 1.5 * radius,
                (x, y) -> {
                    double a = ((x - cx) * ux + (y - cy) * uy) / radius;
                    double b = ((y - cy) * ux - (x - cx) * uy) / (radius * flat);
                    return switch (shape) {
                        case 0 -> a * a + b * b <= 1;
                        case 1 -> Math.abs(a) <= 1 && Math.abs(b) <= 1;
                        default -> b >= -0.6 && Math.abs(a) <= 0.55 * (1 - b);
                    };
                },
                material());
    }

    private void gradients() {
        double[][] corners = {colour(), colour(), colour(), colour()};
        double w = canvas.width();
        double h = canvas.height();
        double wobble = random.nextDouble(0.5);
        canvas.fill((x, y, rgb) -> {
            double u = x / w + wobble * noise.at(x / 60, y / 60);
            double v = y / h + wobble * noise.at(x / 60 + 50, y / 60);
            double[] top = new double[3];
            mix(corners[0], corners[1], u, top);
            mix(corners[2], corners[3], u, rgb);
            mix(top, rgb.clone(), v, rgb);
        });
        for (int i = 0; i < 2 + canvas.height() * canvas.width() / 6000; i++) {
            leaf(random.nextDouble(w), random.nextDouble(h), random.nextDouble(6, 50));
        }
    }

    private void text() {
        boolean dark = random.nextBoolean();
        double[] paper = colour(dark ? random.nextDouble(0.75, 1) : random.nextDouble(0.25));
        double[] shade = colour(dark ? 0.8 : 0.2);
        canvas.fill((x, y, rgb) -> mix(paper, shade, 0.3 * (1 + noise.at(x / 40, y / 40)), rgb));
        double y = random.nextDouble(-6, 4);
        while (y < canvas.height()) {
            double size = StrictMath.exp(random.nextDouble(StrictMath.log(7), StrictMath.log(34)));
            double thickness = size * random.nextDouble(0.07, 0.2);
            double slant = random.nextInt(3) == 0 ? random.nextDouble(0.25) : 0;
            double[] ink = colour(dark ? random.nextDouble(0.3) : random.nextDouble(0.7, 1));
            double x = random.nextDouble(-size, size);
            while (x < canvas.width()) {
                if (random.nextInt(6) > 0) {
                    Letters.draw(
                            canvas,
                            random.nextInt(Letters.count()),
                            x,
                            y,
                            size,
                            slant,
                            thickness,
                            (px, py, rgb) -> mix(ink, ink, 0, rgb));
                }
                x += 0.6 * size + 2 * thickness + 1;
            }
            y += size * random.nextDouble(1.2, 1.8) + thickness;
        }
    }

    private void gratings() {
        canvas.fill(material());
        int patches = 1 + canvas.height() * canvas.width() / 3000;
        for (int i = 0; i < patches; i++) {
            double cx = random.nextDouble(canvas.width());
            double cy = random.nextDouble(canvas.height());
            double radius = random.nextDouble(20, 70);
            double[] a = colour();
            double[] b = colour();
            double angle = random.nextDouble(Math.PI);
            double period = StrictMath.exp(random.nextDouble(StrictMath.log(2.2), StrictMath.log(24)));
            double fx = StrictMath.cos(angle) / period;
            double fy = StrictMath.sin(angle) / period;
            double chirp = random.nextDouble(0.5, 2.5) / (period * radius);
            int rays = random.nextInt(6, 40);
            int shape = random.nextInt(4);
            boolean hard = random.nextBoolean();
            canvas.fill(
                    cx - radius,
                    cy - radius,
                    cx + radius,
                    cy + radius,
                    (x, y) -> (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius,
                    (x, y, rgb) -> {
                        double dx = x - cx;
                        double dy = y - cy;
                        double phase = switch (shape) {
                            case 0 -> x * fx + y * fy;
                            case 1 -> (dx * dx + dy * dy) * chirp;
                            case 2 -> rays * StrictMath.atan2(dy, dx) / (2 * Math.PI);
                            default -> x * fx + y * fy + 0.8 * noise.at(x / 25, y / 25);
                        };
                        double t = triangle(phase);
                        mix(a, b, hard ? (t > 0 ? 1 : 0) : 0.5 + 0.5 * t, rgb);
                    });
        }
    }

    private void fractal() {
        double[] a = colour();
        double[] b = colour();
        double[] c = colour();
        double scale = StrictMath.exp(random.nextDouble(StrictMath.log(8), StrictMath.log(90)));
        double gain = random.nextDouble(0.45, 0.75);
        double warp = random.nextDouble(3);
        double rings = random.nextDouble(1, 6);
        double stretch = random.nextBoolean() ? 1 : random.nextDouble(1, 6);
        boolean banded = random.nextBoolean();
        canvas.fill((x, y, rgb) -> {
            double u = x / scale;
            double v = y / (scale * stretch);
            double bend = warp * noise.at(u * 0.7 + 31, v * 0.7);
            double n = noise.fractal(u + bend, v + bend, 6, gain);
            mix(a, b, 0.5 + 0.5 * (banded ? triangle(rings * n) : 1.3 * n), rgb);
            mix(rgb.clone(), c, 0.4 * noise.fractal(u * 0.5 - 7, v * 0.5, 3, 0.5), rgb);
        });
    }

    private void scene() {
        double[] skyTop = colour(random.nextDouble(0.3, 0.7));
        double[] skyLow = colour(random.nextDouble(0.7, 1));
        double[] tileA = colour(random.nextDouble(0.5, 0.95));
        double[] tileB = colour(random.nextDouble(0.05, 0.4));
        double horizon = canvas.height() * random.nextDouble(0.15, 0.45);
        double tile = random.nextDouble(0.4, 1.6);
        double turn = random.nextDouble(Math.PI);
        double cos = StrictMath.cos(turn);
        double sin = StrictMath.sin(turn);
        double depth = 60 + random.nextDouble(100);
        double middle = canvas.width() / 2.0;
        canvas.fill((x, y, rgb) -> {
            if (y < horizon) {
                mix(skyTop, skyLow, y / horizon + 0.4 * noise.fractal(x / 50, y / 25, 5, 0.55), rgb);
                return;
            }
            double z = depth / (y - horizon + 0.5);
            double gx = (x - middle) * z / depth * 4;
            double u = (gx * cos + 4 * z * sin) / tile;
            double v = (4 * z * cos - gx * sin) / tile;
            boolean odd = ((long) Math.floor(u) + (long) Math.floor(v) & 1) != 0;
            double grain = 0.25 * noise.fractal(u * 3, v * 3, 3, 0.6);
            mix(odd ? tileA : tileB, odd ? tileB : tileA, grain, rgb);
            // Distance washes the tiles out towards the sky before they alias.
            mix(rgb.clone(), skyLow, z / (depth / 12), rgb);
        });
        int balls = 2 + canvas.height() * canvas.width() / 5000;
        for (int i = 0; i < balls; i++) {
            double t = (i + random.nextDouble()) / balls;
            double cy = horizon + t * (canvas.height() - horizon);
            double radius = 5 + t * random.nextDouble(8, 45);
            ball(random.nextDouble(canvas.width()), cy - radius * 0.7, radius);
        }
    }

    private void ball(double cx, double cy, double radius) {
        double shadowX = cx + 0.7 * radius;
        double shadowY = cy + 0.85 * radius;
        double[] dark = {0.04, 0.04, 0.06};
        canvas.fill(
                shadowX - 1.2 * radius,
                shadowY - 0.35 * radius,
                shadowX + 1.2 * radius,
                shadowY + 0.35 * radius,
                (x, y) -> {
                    double a = (x - shadowX) / (1.2 * radius);
                    double b = (y - shadowY) / (0.35 * radius);
                    return a * a + b * b <= 1;
                },
                (x, y, rgb) -> mix(dark, dark, 0, rgb));
        Canvas.Paint skin = material();
        double gloss = random.nextDouble(0.8);
        canvas.fill(
                cx - radius,
                cy - radius,
                cx + radius,
                cy + radius,
                (x, y) -> (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius,
                (x, y, rgb) -> {
                    double nx = (x - cx) / radius;
                    double ny = (y - cy) / radius;
                    double nz = StrictMath.sqrt(Math.max(0, 1 - nx * nx - ny * ny));
                    // The texture is looked up where the surface would be flattened out, so that it bends with the
                    // ball.
                    skin.at(cx + radius * nx / (0.4 + 0.6 * nz), cy + radius * ny / (0.4 + 0.6 * nz), rgb);
                    double light = Math.max(0, -0.5 * nx - 0.6 * ny + 0.62 * nz);
                    double spark = light * light;
                    spark *= spark;
                    spark *= spark;
                    for (int c = 0; c < 3; c++) {
                        rgb[c] = rgb[c] * (0.2 + 0.9 * light) + gloss * spark * spark;
                    }
                });
    }

    private void facade() {
        double[] wall = colour();
        double[] frame = colour();
        double[] glass = colour(random.nextDouble(0.05, 0.5));
        double[] sky = colour(random.nextDouble(0.6, 1));
        double bay = random.nextDouble(9, 34);
        double floor = bay * random.nextDouble(0.6, 1.6);
        double tilt = random.nextDouble(-0.5, 0.5);
        double perspective = random.nextDouble(0.0045) / Math.max(1, canvas.width() / 128.0);
        double pane = random.nextDouble(0.4, 0.8);
        int bars = random.nextInt(4);
        boolean bricks = random.nextBoolean();
        canvas.fill((x, y, rgb) -> {
            double w = 1 + perspective * x;
            double u = x / w / bay;
            double v = (y + tilt * x) / w / floor;
            double fu = u - Math.floor(u);
            double fv = v - Math.floor(v);
            double iu = Math.abs(fu - 0.5) / (pane / 2);
            double iv = Math.abs(fv - 0.5) / (pane / 2);
            if (iu < 0.86 && iv < 0.86) {
                boolean bar = bars > 0 && Math.abs(triangle((fu - 0.5) / pane * bars)) > 0.88;
                double reflection = 0.5 + 0.8 * noise.fractal(u * 0.8 + 3 * Math.floor(v), v, 3, 0.5);
                mix(glass, sky, bar ? 0 : reflection, rgb);
                if (bar) {
                    mix(frame, frame, 0, rgb);
                }
            } else if (iu < 1 && iv < 1) {
                mix(frame, frame, 0, rgb);
            } else {
                double joint = bricks && (triangle(v * 6) > 0.75 || triangle(u * 4 + 0.5 * Math.floor(v * 6)) > 0.88)
                        ? 0.35
                        : 0;
                mix(wall, frame, joint + 0.15 * noise.fractal(u * 6, v * 6, 3, 0.6), rgb);
            }
        });
    }

    private void lines() {
        double[] paper = colour(random.nextDouble(0.8, 1));
        canvas.fill((x, y, rgb) -> mix(paper, paper, 0, rgb));
        int area = canvas.height() * canvas.width();
        for (int i = 0; i < 2 + area / 8000; i++) {
            leaf(random.nextDouble(canvas.width()), random.nextDouble(canvas.height()), random.nextDouble(8, 40));
        }
        for (int i = 0; i < 8 + area / 900; i++) {
            double[] ink = colour(random.nextDouble(0.35));
            double x = random.nextDouble(canvas.width());
            double y = random.nextDouble(canvas.height());
            double angle = random.nextDouble(2 * Math.PI);
            double bend = random.nextDouble(-0.25, 0.25);
            double thickness = StrictMath.exp(random.nextDouble(StrictMath.log(0.6), StrictMath.log(4)));
            int pieces = random.nextInt(4, 20);
            double step = random.nextDouble(2, 6);
            for (int k = 0; k < pieces; k++) {
                double nx = x + step * StrictMath.cos(angle);
                double ny = y + step * StrictMath.sin(angle);
                canvas.stroke(x, y, nx, ny, thickness, (px, py, rgb) -> mix(ink, ink, 0, rgb));
                x = nx;
                y = ny;
                angle += bend;
            }
        }
    }
}
