// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.Conv2d;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.DType;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class QuantizedModelFileTest {
    private static final Map<String, String> METADATA = Map.of("architecture", "tiny", "seed", "7");

    private final Compute compute = Compute.shared();
    private final Tensor image = TinyNetwork.images(3).getFirst();

    @TempDir
    private Path folder = Path.of("");

    private Path path = Path.of("");

    @BeforeEach
    void choosePath() {
        path = folder.resolve("tiny.safetensors");
    }

    private TinyNetwork packed(int weightBits, int activationBits, Scope scope, String recipe) {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(
                compute, network, new Options(weightBits, activationBits, scope), TinyNetwork.images(7));
        Recipes.byId(recipe).orElseThrow().apply(run);
        run.pack();
        return network;
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, all, dobi",
        "2, 2, body, dobi",
        "3, 5, body+upsampler, dobi-released",
        "4, 4, all, minmax",
        "8, 8, all, mse"
    })
    void aNetworkComesBackToTheBit(int weightBits, int activationBits, String scope, String recipe) throws IOException {
        TinyNetwork network =
                packed(weightBits, activationBits, Scope.parse(scope).orElseThrow(), recipe);
        QuantizedModelFile.write(path, network, METADATA);

        WeightFile file = WeightFile.read(path);
        assertThat(QuantizedModelFile.recognises(file)).isTrue();
        assertThat(file.metadata()).containsAllEntriesOf(METADATA);
        TinyNetwork back = new TinyNetwork();
        QuantizedModelFile.load(file, back);
        assertThat(back.run(compute, image).toArray())
                .isEqualTo(network.run(compute, image).toArray());

        Path again = folder.resolve("again.safetensors");
        QuantizedModelFile.write(again, back, METADATA);
        assertThat(again).hasSameBinaryContentAs(path);
    }

    @Test
    void codesArePackedAsBytesBesideTheirBounds() throws IOException {
        QuantizedModelFile.write(path, packed(2, 4, Scope.BODY, "dobi"), METADATA);
        WeightFile file = WeightFile.read(path);
        StoredTensor codes = file.tensor("body.0.body.2.weight_codes");
        assertThat(codes.dtype()).isEqualTo(DType.U8);
        assertThat(codes.shape().dims()).containsExactly(3 * 3 * 8 * 8 / 4);
        assertThat(file.tensor("body.0.body.2.weight_lower").shape().dims()).containsExactly(8);
        assertThat(file.tensor("body.0.body.2.activation_upper").shape().dims()).containsExactly(1);
        assertThat(file.tensor("body.0.body.2.bias").shape().dims()).containsExactly(8);
        assertThat(file.tensors()).doesNotContainKey("body.0.body.2.weight").containsKey("body.2.weight");
        assertThat(file.metadata())
                .containsEntry(
                        "quantized_layers", "body.0.body.0:2:4,body.0.body.2:2:4,body.1.body.0:2:4,body.1.body.2:2:4");
    }

    private void rewrite(BiConsumer<Map<String, String>, Map<String, StoredTensor>> change) throws IOException {
        QuantizedModelFile.write(path, packed(2, 2, Scope.BODY, "dobi"), METADATA);
        WeightFile file = WeightFile.read(path);
        Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
        Map<String, StoredTensor> tensors = new LinkedHashMap<>(file.tensors());
        change.accept(metadata, tensors);
        Safetensors.write(path, metadata, tensors.values());
    }

    private static void put(Map<String, StoredTensor> tensors, StoredTensor tensor) {
        tensors.put(tensor.name(), tensor);
    }

    /** Loads, expects a refusal that names the file, and checks that the network is untouched. */
    private String refusal() throws IOException {
        WeightFile file = WeightFile.read(path);
        TinyNetwork network = TinyNetwork.random(2);
        float[] before = network.run(compute, image).toArray();
        String[] message = new String[1];
        assertThatThrownBy(() -> QuantizedModelFile.load(file, network))
                .isInstanceOf(InvalidFileException.class)
                .satisfies(e -> message[0] = e.getMessage())
                .hasMessageStartingWith(path.toString());
        assertThat(network.sites())
                .allSatisfy(s -> assertThat(s.slot().module()).isInstanceOf(Conv2d.class));
        assertThat(network.run(compute, image).toArray()).isEqualTo(before);
        return message[0];
    }

    @Test
    void oneMessageListsEverythingThatIsWrong() throws IOException {
        rewrite((metadata, tensors) -> {
            tensors.remove("body.0.body.0.weight_codes");
            tensors.remove("head.weight");
            put(tensors, StoredTensor.of("head.scale", Tensor.zeros(1)));
            put(tensors, StoredTensor.of("tail.bias", Tensor.zeros(4)));
            put(tensors, StoredTensor.of("body.0.body.2.weight_codes", Tensor.zeros(144)));
            put(tensors, StoredTensor.bytes("body.1.body.0.weight_codes", new int[] {3}, new byte[3]));
            put(
                    tensors,
                    StoredTensor.of(
                            "body.1.body.2.weight_lower", Tensor.zeros(8).fill(9)));
        });
        String problems = refusal().substring((path + " does not fit the network: ").length());
        assertThat(problems.split(", (?=[a-z])"))
                .satisfiesExactly(
                        p -> assertThat(p).isEqualTo("body.0.body.0.weight_codes is missing"),
                        p -> assertThat(p).isEqualTo("body.0.body.2.weight_codes is F32[144] instead of U8[144]"),
                        p -> assertThat(p).isEqualTo("body.1.body.0.weight_codes is U8[3] instead of U8[144]"),
                        p -> assertThat(p).startsWith("body.1.body.2 has no grid of 4 levels between 9.0 and"),
                        p -> assertThat(p).isEqualTo("head.scale is unexpected"),
                        p -> assertThat(p).isEqualTo("head.weight is missing"),
                        p -> assertThat(p).isEqualTo("tail.bias is [4] instead of [3]"));
    }

    @Test
    void boundsMustBeNumbers() throws IOException {
        rewrite((metadata, tensors) -> put(
                tensors,
                StoredTensor.of(
                        "body.0.body.0.activation_lower", Tensor.zeros(1).fill(Float.NaN))));
        assertThat(refusal()).contains("body.0.body.0.activation has no grid of 4 levels between NaN and");
    }

    @ParameterizedTest
    @CsvSource({
        "body.0.body.0:2:2:2",
        "body.0.body.0:9:2",
        "body.0.body.0:2:-2",
        "body.0.body.0",
        "body.7:2:2",
        "body.0:2:2",
        "''"
    })
    void layersThatTheNetworkDoesNotHaveAreNamed(String entry) throws IOException {
        rewrite((metadata, tensors) -> metadata.merge("quantized_layers", entry, (list, e) -> list + "," + e));
        assertThat(refusal()).contains("the entry \"" + entry + "\" of quantized_layers names no layer");
    }

    @Test
    void aLayerListedTwiceIsRefused() throws IOException {
        rewrite((metadata, tensors) ->
                metadata.merge("quantized_layers", "body.0.body.0:2:2", (list, e) -> list + "," + e));
        assertThat(refusal()).contains("quantized_layers has two entries for \"body.0.body.0\"");
    }

    @Test
    void codesMustNotHaveBitsBehindTheLast() throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(1, 1, Scope.ALL), TinyNetwork.images(7));
        Recipes.byId("dobi").orElseThrow().apply(run);
        run.pack();
        QuantizedModelFile.write(path, network, METADATA);
        WeightFile file = WeightFile.read(path);
        Map<String, StoredTensor> tensors = new LinkedHashMap<>(file.tensors());
        // 3 x 3 weights of one bit: seven bits of the second byte are not used.
        put(tensors, StoredTensor.bytes("tail.weight_codes", new int[] {2}, new byte[] {0, 2}));
        Safetensors.write(path, file.metadata(), tensors.values());
        assertThat(refusal()).contains("tail has bits are set behind the last of 9 codes");
    }

    @Test
    void otherVersionsAreRefused() throws IOException {
        rewrite((metadata, tensors) -> metadata.put("halftone_format", "2"));
        assertThat(refusal()).contains("is of quantized-model format 2; this version reads format 1");
        rewrite((metadata, tensors) -> metadata.remove("halftone_format"));
        assertThat(QuantizedModelFile.recognises(WeightFile.read(path))).isFalse();
    }

    @Test
    void anotherArchitectureIsRefused() throws IOException {
        rewrite((metadata, tensors) -> tensors.keySet().removeIf(k -> k.startsWith("body.1.")));
        assertThat(refusal()).contains("body.1.body.0.activation_lower is missing");
        assertThat(Files.exists(path)).isTrue();
    }
}
