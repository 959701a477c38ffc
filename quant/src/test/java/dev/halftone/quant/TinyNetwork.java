// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.ResidualBlock;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Region;
import dev.halftone.nn.Site.Role;
import dev.halftone.nn.Trunk;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** A network with a site in every region: two residual blocks of 8 features between a first and a last convolution, x2. */
public final class TinyNetwork extends Module {
    private final Child head = child("head", new Conv2d(3, 8, 3));
    private final Child first = child("body.0", new ResidualBlock(new Conv2d(8, 8, 3), new Conv2d(8, 8, 3), 1));
    private final Child second = child("body.1", new ResidualBlock(new Conv2d(8, 8, 3), new Conv2d(8, 8, 3), 0.1f));
    private final Child bodyEnd = child("body.2", new Conv2d(8, 8, 3));
    private final Child upsampler = child("up", new Conv2d(8, 12, 3));
    private final Child tail = child("tail", new Conv2d(3, 3, 1));

    /** Returns a network with random weights, the same ones for the same seed. */
    public static TinyNetwork random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        TinyNetwork network = new TinyNetwork();
        network.descendants().values().forEach(slot -> {
            if (slot.module() instanceof Conv2d conv) {
                conv.initialize(random, 1);
            }
        });
        return network;
    }

    @Override
    public Value forward(Value x) {
        Value features = head.forward(x);
        Value y = bodyEnd.forward(second.forward(first.forward(features))).add(features);
        return tail.forward(upsampler.forward(y).pixelShuffle(2));
    }

    @Override
    public List<Site> sites() {
        Map<String, Child> all = descendants();
        return List.of(
                site("head", Region.HEAD, all),
                site("body.0.body.0", Region.BODY, all),
                site("body.0.body.2", Region.BODY, all),
                site("body.1.body.0", Region.BODY, all),
                site("body.1.body.2", Region.BODY, all),
                site("body.2", Region.BODY_END, all),
                site("up", Region.UPSAMPLER, all),
                site("tail", Region.TAIL, all));
    }

    private static Site site(String name, Region region, Map<String, Child> all) {
        return new Site(name, Role.CONV, region, slot(name, all));
    }

    private static Child slot(String name, Map<String, Child> all) {
        Child slot = all.get(name);
        if (slot == null) {
            throw new IllegalStateException("no child " + name);
        }
        return slot;
    }

    @Override
    public List<Child> blocks() {
        return List.of(first, second);
    }

    @Override
    public List<Trunk> trunks() {
        Map<String, Child> all = descendants();
        return List.of(new Trunk(
                List.of(head, slot("body.0.body.2", all), slot("body.1.body.2", all), bodyEnd),
                List.of(slot("body.0.body.0", all), slot("body.1.body.0", all), bodyEnd, upsampler)));
    }

    /** Returns an fp32 network with the weights of {@code random(1)} to learn from, and nothing that listens or is saved. */
    public static Supervision teacher() {
        return new Supervision(random(1), heldBack(), null, (step, steps, loss) -> {});
    }

    /** Returns a batch that {@link #images} never gives for the seeds that tests use. */
    public static List<Tensor> heldBack() {
        return images(1000);
    }

    /** Returns two batches of two images. */
    public static List<Tensor> images(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return List.of(image(random, 2, 7, 9), image(random, 2, 7, 9));
    }

    public static Tensor image(SplittableRandom random, int batch, int height, int width) {
        Tensor image = Tensor.zeros(batch, height, width, 3);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = (float) random.nextDouble(-1, 1);
        }
        return image;
    }

    public Tensor run(Compute compute, Tensor image) {
        return forward(Graph.eager(compute).constant(image)).tensor();
    }
}
