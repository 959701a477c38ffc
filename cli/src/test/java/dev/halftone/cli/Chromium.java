// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** One page of a headless Chromium, driven over its DevTools protocol. */
final class Chromium implements AutoCloseable {
    private static final long MOST_SECONDS = 60;

    private final Process process;
    private final HttpClient client = HttpClient.newHttpClient();
    private final WebSocket socket;
    private final AtomicInteger number = new AtomicInteger();
    private final Map<Integer, CompletableFuture<Map<String, Object>>> answers = new ConcurrentHashMap<>();
    private final List<Map<String, Object>> events = new ArrayList<>();

    /** Returns the program, if it is installed. */
    static Optional<Path> find() {
        return Stream.of(System.getenv("PATH").split(java.io.File.pathSeparator))
                .flatMap(folder -> Stream.of("chromium", "chromium-browser", "google-chrome")
                        .map(name -> Path.of(folder, name)))
                .filter(Files::isExecutable)
                .findFirst();
    }

    Chromium(Path program, Path folder) throws IOException, InterruptedException {
        ProcessBuilder start = new ProcessBuilder(
                        program.toString(),
                        "--headless=new",
                        "--no-sandbox", // which root may not use; it sees no page but ours
                        "--disable-gpu",
                        "--no-first-run",
                        "--disable-background-networking",
                        "--remote-debugging-port=0",
                        "--user-data-dir=" + folder,
                        "about:blank")
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile());
        start.environment().put("TMPDIR", folder.toString());
        process = start.start();
        Path port = folder.resolve("DevToolsActivePort");
        await(() -> Files.exists(port) && Files.readString(port).contains("\n"), "start of " + program);
        String at = "127.0.0.1:" + Files.readString(port).lines().findFirst().orElseThrow();
        HttpRequest list =
                HttpRequest.newBuilder(URI.create("http://" + at + "/json")).build();
        List<Object> pages =
                JSON.std.listFrom(client.send(list, BodyHandlers.ofString()).body());
        String page = pages.stream()
                .map(Chromium::map)
                .filter(p -> "page".equals(p.get("type")))
                .map(p -> String.valueOf(p.get("webSocketDebuggerUrl")))
                .findFirst()
                .orElseThrow();
        socket = client.newWebSocketBuilder()
                .buildAsync(URI.create(page), new Listener())
                .join();
        for (String domain : new String[] {"Page", "Runtime", "Log", "Network", "DOM"}) {
            send(domain + ".enable", Map.of());
        }
    }

    /** Collects the parts of messages. */
    private final class Listener implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                receive(text.toString());
                text.setLength(0);
            }
            from.request(1);
            return CompletableFuture.completedStage(null);
        }
    }

    private void receive(String text) {
        try {
            Map<String, Object> message = JSON.std.mapFrom(text);
            if (message.get("id") instanceof Integer id) {
                Objects.requireNonNull(answers.remove(id)).complete(message);
            } else {
                synchronized (events) {
                    events.add(message);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @SuppressWarnings("unchecked") // of JSON
    static Map<String, Object> map(@Nullable Object value) {
        return (Map<String, Object>) Objects.requireNonNull(value);
    }

    /** Sends a command and returns its result. */
    Map<String, Object> send(String method, Map<String, Object> parameters) {
        int id = number.incrementAndGet();
        CompletableFuture<Map<String, Object>> answer = new CompletableFuture<>();
        answers.put(id, answer);
        try {
            socket.sendText(JSON.std.asString(Map.of("id", id, "method", method, "params", parameters)), true)
                    .join();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Map<String, Object> message =
                answer.orTimeout(MOST_SECONDS, TimeUnit.SECONDS).join();
        assertThat(message).as(method).containsKey("result");
        return map(message.get("result"));
    }

    /** Returns the value of an expression. */
    Object evaluate(String expression) {
        Map<String, Object> result =
                send("Runtime.evaluate", Map.of("expression", expression, "returnByValue", true, "awaitPromise", true));
        assertThat(result).as(expression).doesNotContainKey("exceptionDetails");
        return String.valueOf(map(result.get("result")).get("value"));
    }

    /** Waits until an expression is true. */
    void await(String expression) throws IOException, InterruptedException {
        await(() -> evaluate("!!(" + expression + ")").equals("true"), expression);
    }

    /** Chooses a file as a user does. */
    void choose(String input, Path file) {
        Object root = map(send("DOM.getDocument", Map.of()).get("root")).get("nodeId");
        Object node = send("DOM.querySelector", Map.of("nodeId", root, "selector", input))
                .get("nodeId");
        send("DOM.setFileInputFiles", Map.of("nodeId", node, "files", List.of(file.toString())));
    }

    /** Drags from one point to another. */
    void drag(int fromX, int fromY, int toX, int toY) {
        mouse("mousePressed", fromX, fromY);
        mouse("mouseMoved", toX, toY);
        mouse("mouseReleased", toX, toY);
    }

    private void mouse(String type, int x, int y) {
        send(
                "Input.dispatchMouseEvent",
                Map.of("type", type, "x", x, "y", y, "button", "left", "buttons", 1, "clickCount", 1));
    }

    /** Sets the window's size and the theme, {@code light} or {@code dark}. */
    void look(int width, int height, String theme) {
        send(
                "Emulation.setDeviceMetricsOverride",
                Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", width < 600));
        send(
                "Emulation.setEmulatedMedia",
                Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", theme))));
    }

    /** Writes a picture of the page. */
    void screenshot(Path file) throws IOException {
        Object data = send("Page.captureScreenshot", Map.of("format", "png")).get("data");
        Files.write(file, Base64.getDecoder().decode(String.valueOf(data)));
    }

    /** Returns the events of a kind so far. */
    List<Map<String, Object>> events(String method) {
        synchronized (events) {
            return events.stream()
                    .filter(event -> method.equals(event.get("method")))
                    .map(event -> map(event.get("params")))
                    .toList();
        }
    }

    private interface Condition {
        boolean holds() throws IOException;
    }

    private static void await(Condition condition, String what) throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(MOST_SECONDS);
        while (!condition.holds()) {
            assertThat(System.nanoTime()).as("time for: " + what).isLessThan(end);
            Thread.sleep(20);
        }
    }

    @Override
    public void close() throws InterruptedException {
        socket.abort();
        client.shutdownNow();
        List<ProcessHandle> all = process.descendants().toList();
        process.destroyForcibly().waitFor();
        all.forEach(ProcessHandle::destroyForcibly);
        all.forEach(each -> each.onExit().join()); // they write into the folder until then
    }
}
